package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// load is what a system is measured with.
type load struct {
	size, count, warm int           // of vouchers
	delay             time.Duration // of the API
	drip              bool          // the delay is spent while reading
	limit             time.Duration // of each phase
	backlog           bool          // more waits than is measured
}

const (
	warmSize  = 200 << 10       // largest voucher of the warm-up: what it prepares does not depend on size
	warmLimit = 2 * time.Minute // asynq takes so long to find what a busy Redis gave nobody
)

// callsInfix stands in the unit of a Redis command's calls.
const callsInfix = "-calls-"

// use is what some processes and Redis have used.
type use struct {
	cpu      time.Duration
	resident int64 // bytes now, and
	peak     int64 // most at a time, of one process
	redis    process.Stats
}

func (d *deployment) use(ctx context.Context) (u use, err error) {
	for _, w := range d.workers {
		u.cpu += process.CPU(w.PID())
		resident, peak := process.Memory(w.PID())
		u.resident, u.peak = max(u.resident, resident), max(u.peak, peak)
	}
	if d.rdb != nil {
		u.redis, err = process.ReadStats(ctx, d.rdb)
	}
	return u, err
}

// used adds what a phase of n uploads has used of Redis.
func (s *sample) used(phase string, n int, before, after process.Stats) {
	if n == 0 {
		return
	}
	grown, each := after.Minus(before), float64(n)
	s.add("redis-cpu-s/1000-"+phase, grown.CPU()/each*1000)
	s.add("commands-"+phase, grown.Commands()/each)
	s.add("reads-"+phase, grown["total_reads_processed"]/each)
	s.add("KB-to-redis-"+phase, grown["total_net_input_bytes"]/each/1024)
	s.add("KB-from-redis-"+phase, grown["total_net_output_bytes"]/each/1024)
	for name, calls := range grown {
		const seldom = 0.01
		if command, ok := strings.CutPrefix(name, process.CallsOf); ok && calls/each > seldom && command != "info" {
			s.add(command+callsInfix+phase, calls/each)
		}
	}
}

// run deploys a system, does something with it, and stops it.
func (b *bench) run(ctx context.Context, s setup, do func(*deployment) error) error {
	d, err := b.deploy(ctx, s)
	if err == nil {
		err = do(d)
	}
	if err = errors.Join(err, d.stop()); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// warm delivers some uploads, so that connections are open, scripts loaded, and all slots in use.
func (d *deployment) warm(ctx context.Context, n, size int) error {
	limit := warmLimit + time.Duration(n)*time.Millisecond
	if _, _, err := d.put(ctx, n, min(size, warmSize), limit); err != nil {
		return err
	}
	if count, _ := d.api.wait(ctx, n, limit); count < n {
		return fmt.Errorf("warming up, it delivered %d of %d within %v", count, n, limit)
	}
	return d.settled(ctx)
}

// measure enqueues uploads while the workers may not fetch, and lets them drain.
func (b *bench) measure(ctx context.Context, s setup, l load, name string) (*sample, error) {
	out := &sample{name: name}
	return out, b.run(ctx, s, func(d *deployment) error {
		if s.system.kind == kindLoop {
			return d.measureLoop(ctx, l, out)
		}
		if err := d.warm(ctx, l.warm, l.size); err != nil {
			return err
		}
		return errors.Join(d.pause(ctx, true), d.measure(ctx, l, out))
	})
}

func (d *deployment) measure(ctx context.Context, l load, s *sample) error {
	empty, err := d.use(ctx)
	if err != nil {
		return err
	}
	n, took, err := d.put(ctx, l.count, l.size, l.limit)
	if err == nil && n == 0 {
		err = errors.New("nothing was enqueued in time")
	}
	if err != nil {
		return err
	}
	full, err := d.use(ctx)
	if err != nil {
		return err
	}
	s.add("enqueued/s", float64(n)/took.Seconds())
	s.used("in", n, empty.redis, full.redis)
	if err = d.drain(ctx, n, l, s, full); err != nil {
		return err
	}
	// With fewer uploads the steps of Redis' tables count for more than what one holds.
	const enough = 1000
	if n >= enough && s.uploads == n {
		drained, err := d.use(ctx)
		if err != nil {
			return err
		}
		waiting := (full.redis.Memory() - empty.redis.Memory()) / float64(n)
		if d.system.kind == kindWorker && !d.system.file {
			waiting -= float64(l.size)
		}
		s.add("B-waiting", waiting) // besides the voucher, if voucherd's store is in Redis
		s.add("B-delivered", (drained.redis.Memory()-empty.redis.Memory())/float64(n))
	}
	return nil
}

// drain lets the workers fetch until n uploads have arrived, and all that follows is done too.
func (d *deployment) drain(ctx context.Context, n int, l load, s *sample, before use) error {
	d.api.reset(l.delay, l.drip)
	if err := d.pause(ctx, false); err != nil {
		return err
	}
	count, took := d.api.wait(ctx, n, l.limit)
	var err error
	if count == n && !l.backlog {
		err = d.settled(ctx)
	} else { // what is left would only take time
		err = d.pause(ctx, true)
	}
	after, uerr := d.use(ctx)
	if err = errors.Join(err, uerr); err != nil {
		return err
	}
	if count == 0 {
		return errors.New("nothing was delivered in time")
	}
	s.uploads = count
	s.add("drained/s", float64(count)/took.Seconds())
	s.add("worker-cpu-s/1000", (after.cpu-before.cpu).Seconds()/float64(count)*1000)
	s.used("out", count, before.redis, after.redis)
	s.add("peak-MB", float64(after.peak)/(1<<20))
	s.add("above-idle-MB", float64(after.peak-d.idle)/(1<<20))
	s.add("in-flight", float64(d.api.mostFlying()))
	return nil
}

// measureLoop lets the plain loop send.
func (d *deployment) measureLoop(ctx context.Context, l load, s *sample) error {
	p, err := d.start(d.name, []string{kindLoop, strconv.Itoa(l.count), strconv.Itoa(l.size)})
	if err != nil {
		return err
	}
	d.workers = append(d.workers, p)
	count, took := d.api.wait(ctx, l.count, warmLimit+3*l.limit)
	u, err := d.use(ctx)
	if err == nil && count < l.count {
		err = fmt.Errorf("it sent %d of %d", count, l.count)
	}
	if err != nil {
		return err
	}
	s.uploads = count
	s.add("drained/s", float64(count)/took.Seconds())
	s.add("worker-cpu-s/1000", u.cpu.Seconds()/float64(count)*1000)
	s.add("peak-MB", float64(u.peak)/(1<<20))
	return nil
}
