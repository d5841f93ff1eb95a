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

// deployment is a system at work: its producer and its workers.
type deployment struct {
	plan

	b        *bench
	number   int
	producer *child
	workers  []*child
	fresh    Usage // of the workers before their first task
	next     int   // number of the next upload
}

const (
	mostProducers = 16 // that enqueue at a time, whatever the workers do
	warmLimit     = 30 * time.Second
	warmSize      = 200 << 10 // largest voucher of the warm-up: what it prepares does not depend on size
	settleEvery   = 40 * time.Millisecond
	settleLimit   = 5 * time.Second
	quietTimes    = 3    // in a row: a busy machine may just not have let them run
	idleTrips     = 2    // what a worker that has nothing to do asks of Redis in settleEvery, at most
	memoryCount   = 1000 // uploads that it takes to tell what Redis holds for one: with fewer, its tables' steps count for more
)

// deploy starts a system's processes.
func (b *bench) deploy(ctx context.Context, p plan) (d *deployment, err error) {
	b.started++
	d = &deployment{plan: p, b: b, number: b.started}
	s := spec{
		System: p.system.kind, Redis: p.redisURL, API: b.server.URL, Concurrency: min(p.concurrency, mostProducers),
		Retention: p.system.retention, Store: "redis:",
	}
	if s.Redis == "" {
		s.Redis = p.redis.url
	}
	if p.system.file {
		s.Store = "file://" + d.storeDir()
		if err = os.Mkdir(d.storeDir(), 0o700); err != nil {
			return nil, fmt.Errorf("make a directory for vouchers: %w", err)
		}
	}
	if d.producer, err = spawn(ctx, b.dir, fmt.Sprintf("producer-%d", d.number), s); err != nil {
		return nil, err
	}
	s.Worker, s.Concurrency = true, p.concurrency
	for i := range p.workers {
		w, werr := spawn(ctx, b.dir, fmt.Sprintf("worker-%d-%d", d.number, i), s)
		if werr != nil {
			return nil, errors.Join(werr, d.stop())
		}
		d.workers = append(d.workers, w)
	}
	if d.fresh, err = used(ctx, d.workers...); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

func (d *deployment) storeDir() string {
	return filepath.Join(d.b.dir, fmt.Sprintf("store-%d", d.number))
}

// stop ends the processes and removes what they stored and logged.
func (d *deployment) stop() (err error) {
	for _, c := range append(d.workers, d.producer) {
		err = errors.Join(err, c.stop(), os.Remove(filepath.Join(d.b.dir, c.Name()+".log"))) //nolint:gosec // our own directory
	}
	return errors.Join(err, os.RemoveAll(d.storeDir())) //nolint:gosec // our own directory
}

// pause lets nothing be fetched from the queue, with asynq's own mark.
func (d *deployment) pause(ctx context.Context, on bool) error {
	queue := naive.Queue
	if d.system.kind == kindVoucherd {
		queue = ledger.Queue(accountName)
	}
	key := "asynq:{" + queue + "}:paused"
	var err error
	if on {
		err = d.redis.rdb.Set(ctx, key, time.Now().Unix(), 0).Err()
	} else {
		err = d.redis.rdb.Del(ctx, key).Err()
	}
	if err != nil {
		return fmt.Errorf("pause the queue or resume it: %w", err)
	}
	return nil
}

func (d *deployment) put(ctx context.Context, n, size int, limit time.Duration) (Reply, error) {
	r, err := d.producer.run(ctx, Order{From: d.next, N: n, Size: size, Limit: limit})
	d.next += r.Count
	return r, err
}

// settled waits until the workers have done all that follows a delivery.
func (d *deployment) settled(ctx context.Context) error {
	before, err := used(ctx, d.workers...)
	quiet := 0
	for began := time.Now(); err == nil && quiet < quietTimes && time.Since(began) < settleLimit; {
		if err = sleep(ctx, settleEvery); err != nil {
			break
		}
		now, uerr := used(ctx, d.workers...)
		// Vouchers that are still to leave the blob store.
		kept, kerr := d.redis.rdb.ZCard(ctx, "voucherd:{"+ledger.Queue(accountName)+"}:keep").Result()
		err = errors.Join(uerr, kerr)
		quiet++
		if kept > 0 || now.Trips-before.Trips > int64(idleTrips*len(d.workers)) {
			quiet = 0
		}
		before = now
	}
	return err
}
