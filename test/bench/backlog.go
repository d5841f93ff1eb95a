package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// deep is a Redis server with much in it.
type deep struct {
	server    *server
	waiting   int // uploads, beside those that are measured
	delivered int
	next      int // number of the next upload
}

// playBacklog compares the rate with little and with much waiting and delivered, each on a Redis server of its own, in
// turn.
func (st *stage) playBacklog(ctx context.Context) (err error) {
	var levels []*deep
	defer func() {
		for _, d := range levels {
			err = errors.Join(err, d.server.close())
		}
	}()
	count := st.opts.scaled(3000)
	for i, waiting := range st.opts.backlog {
		d := &deep{waiting: waiting}
		if waiting == slices.Max(st.opts.backlog) {
			d.delivered = st.opts.delivered
		}
		if d.server, err = startRedis(ctx, st.dir, fmt.Sprintf("redis-%d", i)); err != nil {
			return err
		}
		levels = append(levels, d)
		if err = st.fill(ctx, d); err != nil {
			return fmt.Errorf("fill a ledger with %d waiting: %w", waiting, err)
		}
	}
	for n := 1; n <= st.opts.rounds; n++ {
		for _, d := range levels {
			s, err := st.measureDeep(ctx, d, count)
			if err != nil {
				return fmt.Errorf("%d waiting: %w", d.waiting, err)
			}
			s.Scenario, s.Round, s.Waiting, s.Delivered = scenarioBacklog, n, d.waiting, d.delivered
			st.keep(s)
		}
		slices.Reverse(levels)
	}
	return nil
}

// fill gives a server its uploads.
func (st *stage) fill(ctx context.Context, d *deep) error {
	began := time.Now()
	l, err := newLoader(ctx, d.server.url, st.apiURL)
	if err != nil {
		return err
	}
	if err = l.delivered(ctx, d.delivered); err == nil {
		d.next = d.delivered
		err = l.waiting(ctx, d.next, d.waiting)
		d.next += d.waiting
	}
	if err = errors.Join(err, l.close()); err != nil {
		return err
	}
	info, err := d.server.info(ctx)
	if err != nil {
		return err
	}
	st.term.say("%d waiting and %d delivered: filled in %v, redis holds %.0f MB", d.waiting, d.delivered,
		time.Since(began).Round(time.Second), info["used_memory"]/(1<<20))
	return nil
}

// measureDeep adds as many uploads as it takes out: those for the warm-up and those that are measured.
func (st *stage) measureDeep(ctx context.Context, d *deep, count int) (s sample, err error) {
	p := plan{
		setup: setup{
			system: inRedis(), redis: d.server, workers: 1, concurrency: st.opts.concurrency, label: fmt.Sprintf("backlog-%d", d.waiting),
		},
		size: smallVoucher, count: count, limit: st.opts.limit,
	}
	c := &crew{setup: p.setup}
	if err = c.pause(ctx); err != nil {
		return s, err
	}
	if c, err = st.hire(ctx, p.setup); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.dismiss()) }()
	c.next = d.next
	defer func() { d.next = c.next }()
	s = sample{
		System: p.system.name, VoucherSize: p.size, Workers: 1, Concurrency: p.concurrency, IdleMemory: c.fresh.Resident,
	}
	if _, err = c.put(ctx, warmUp, p.size, warmLimit); err != nil {
		return s, err
	}
	if s.Enqueue, err = c.enqueue(ctx, p); err != nil {
		return s, err
	}
	if err = errors.Join(c.expect(ctx, warmUp), c.resume(ctx)); err != nil {
		return s, err
	}
	if _, err = c.await(ctx, warmLimit); err != nil {
		return s, err
	}
	if err = c.pause(ctx); err != nil {
		return s, err
	}
	if _, err = c.settled(ctx); err != nil {
		return s, err
	}
	if err = c.drainPart(ctx, p, count, &s); err != nil {
		return s, err
	}
	return s, c.pause(ctx)
}

// drainPart drains n of many: nothing becomes quiet at its end, so what it took is read at once.
func (c *crew) drainPart(ctx context.Context, p plan, n int, s *sample) error {
	if err := errors.Join(c.expect(ctx, n), c.profile(ctx, true)); err != nil {
		return err
	}
	before, err := c.used(ctx)
	if err != nil {
		return err
	}
	redisBefore, err := p.redis.stats(ctx)
	if err != nil {
		return err
	}
	if err = c.resume(ctx); err != nil {
		return err
	}
	done, err := c.await(ctx, p.limit)
	if err != nil {
		return err
	}
	after, err := c.used(ctx)
	if err != nil {
		return err
	}
	redisAfter, err := p.redis.stats(ctx)
	if err != nil {
		return err
	}
	s.Drain = newPhase(min(done.Count, n), done.Elapsed, after.minus(before), redisAfter.minus(redisBefore))
	s.PeakMemory, s.InFlight = after.Peak, done.InFlight
	return c.profile(ctx, false)
}
