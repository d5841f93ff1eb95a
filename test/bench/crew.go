package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/bench/naive"
)

// setup is one system in one situation.
type setup struct {
	system      system
	redis       *server
	redisURL    string // by which the system reaches it; "": its own
	workers     int
	concurrency int
	delay       time.Duration // of the API
	drip        bool
	label       string // of profiles
}

// crew is a system at work: its producer and its workers.
type crew struct {
	st       *stage
	setup    setup
	producer *child
	workers  []*child
	fresh    usage // of the workers before their first task
	next     int   // number of the next upload
}

// mostProducers bounds how many enqueue at a time, whatever the workers do.
const mostProducers = 16

// hire starts a system's processes.
func (st *stage) hire(ctx context.Context, s setup) (*crew, error) {
	c := &crew{st: st, setup: s}
	st.hired++
	own := spec{
		System: s.system.kind, Redis: s.redisURL, API: st.apiURL, Concurrency: s.concurrency, Retention: s.system.retention,
		Store: "redis:",
	}
	if own.Redis == "" {
		own.Redis = s.redis.url
	}
	if s.system.file {
		own.Store = "file://" + c.storeDir()
		if err := os.Mkdir(c.storeDir(), 0o700); err != nil {
			return nil, fmt.Errorf("make a directory for vouchers: %w", err)
		}
	}
	own.Role, own.Concurrency = roleProducer, min(s.concurrency, mostProducers)
	var err error
	if c.producer, _, err = spawn(ctx, st.dir, fmt.Sprintf("producer-%d", st.hired), own); err != nil {
		return nil, err
	}
	own.Role, own.Concurrency = roleWorker, s.concurrency
	for i := range s.workers {
		w, _, werr := spawn(ctx, st.dir, fmt.Sprintf("worker-%d-%d", st.hired, i), own)
		if werr != nil {
			return nil, errors.Join(werr, c.dismiss())
		}
		c.workers = append(c.workers, w)
	}
	c.fresh, err = c.used(ctx)
	if err != nil {
		return nil, errors.Join(err, c.dismiss())
	}
	return c, nil
}

func (c *crew) storeDir() string { return filepath.Join(c.st.dir, fmt.Sprintf("store-%d", c.st.hired)) }

// dismiss ends the processes and removes their logs.
func (c *crew) dismiss() error {
	var errs []error
	for _, w := range append(c.workers, c.producer) {
		errs = append(errs, w.stop())
		if errs[len(errs)-1] == nil {
			errs = append(errs, os.Remove(filepath.Join(c.st.dir, w.name+".log"))) //nolint:gosec // our own directory
		}
	}
	return errors.Join(append(errs, os.RemoveAll(c.storeDir()))...) //nolint:gosec // our own directory
}

// used sums up what the workers have used.
func (c *crew) used(ctx context.Context) (usage, error) {
	var all usage
	for _, w := range c.workers {
		r, err := w.tell(ctx, order{Do: "usage"})
		if err != nil {
			return all, err
		}
		all = all.plus(r.Usage)
	}
	return all, nil
}

// pausedKey is asynq's mark of a queue from which nothing is fetched.
func (c *crew) pausedKey() string {
	queue := naive.Queue
	if c.setup.system.kind == kindVoucherd {
		queue = ledger.Queue(accountName)
	}
	return "asynq:{" + queue + "}:paused"
}

func (c *crew) pause(ctx context.Context) error {
	if err := c.setup.redis.rdb.Set(ctx, c.pausedKey(), time.Now().Unix(), 0).Err(); err != nil {
		return fmt.Errorf("pause the queue: %w", err)
	}
	return nil
}

func (c *crew) resume(ctx context.Context) error {
	if err := c.setup.redis.rdb.Del(ctx, c.pausedKey()).Err(); err != nil {
		return fmt.Errorf("resume the queue: %w", err)
	}
	return nil
}

// expect has the API count from 0, and answer as the setup wants.
func (c *crew) expect(ctx context.Context, n int) error {
	_, err := c.st.api.tell(ctx, order{Do: "reset", N: n, Delay: c.setup.delay, Drip: c.setup.drip})
	return err
}

func (c *crew) await(ctx context.Context, limit time.Duration) (reply, error) {
	return c.st.api.tell(ctx, order{Do: "wait", Limit: limit})
}

// warm delivers some uploads, so that connections are open, scripts loaded, and a breaker has all its slots.
func (c *crew) warm(ctx context.Context, n, size int) error {
	if err := c.expect(ctx, n); err != nil {
		return err
	}
	if _, err := c.put(ctx, n, size, warmLimit); err != nil {
		return err
	}
	r, err := c.await(ctx, warmLimit)
	if err == nil && r.Count < n {
		err = fmt.Errorf("warming up, %s delivered %d of %d within %v", c.setup.system.name, r.Count, n, warmLimit)
	}
	if err != nil {
		return err
	}
	_, err = c.settled(ctx)
	return err
}

const (
	warmLimit   = 30 * time.Second
	settleEvery = 40 * time.Millisecond
	settleLimit = 5 * time.Second
	quietTimes  = 3 // in a row: a busy machine may just not have let them run
	// idleTrips is what workers that have nothing to do ask of Redis in settleEvery, at most.
	idleTrips = 2
)

func (c *crew) put(ctx context.Context, n, size int, limit time.Duration) (reply, error) {
	r, err := c.producer.tell(ctx, order{Do: "enqueue", From: c.next, N: n, Size: size, Limit: limit})
	c.next += r.Count
	return r, err
}

// settled waits until the workers have done all that follows a delivery, and says what they have used then.
func (c *crew) settled(ctx context.Context) (usage, error) {
	before, err := c.used(ctx)
	quiet := 0
	for began := time.Now(); err == nil && quiet < quietTimes && time.Since(began) < settleLimit; {
		if err = sleep(ctx, settleEvery); err != nil {
			break
		}
		var now usage
		now, err = c.used(ctx)
		kept := int64(0)
		if err == nil { // vouchers that are still to leave the blob store
			kept, err = c.setup.redis.rdb.ZCard(ctx, "voucherd:{"+ledger.Queue(accountName)+"}:keep").Result()
		}
		quiet++
		if kept > 0 || now.Trips-before.Trips > int64(idleTrips*len(c.workers)) {
			quiet = 0
		}
		before = now
	}
	return before, err
}

// profile starts the first worker's CPU profile, or ends it.
func (c *crew) profile(ctx context.Context, on bool) error {
	if c.st.opts.profiles == "" {
		return nil
	}
	o := order{Do: "profile"}
	if on {
		o.Path = filepath.Join(c.st.opts.profiles, fmt.Sprintf("%s-%03d.pprof", c.setup.label, c.st.hired))
	}
	_, err := c.workers[0].tell(ctx, o)
	return err
}
