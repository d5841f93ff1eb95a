package main

import (
	"context"
	"errors"
	"time"
)

// plan is one measurement: how many uploads of which size.
type plan struct {
	setup

	size  int
	count int
	warm  int
	limit time.Duration
}

// measure empties Redis, starts a system, warms it up, enqueues while it may not fetch, and lets it drain.
func (st *stage) measure(ctx context.Context, p plan) (s sample, err error) {
	if err = p.redis.clear(ctx); err != nil {
		return s, err
	}
	c, err := st.hire(ctx, p.setup)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.dismiss()) }()
	s = sample{
		System: p.system.name, VoucherSize: p.size, Workers: p.workers, Concurrency: p.concurrency,
		APIMS: float64(p.delay) / float64(time.Millisecond), IdleMemory: c.fresh.Resident,
	}
	if err = c.warm(ctx, p.warm, min(p.size, warmSize)); err == nil {
		err = errors.Join(c.pause(ctx), p.redis.freed(ctx))
	}
	if err != nil {
		return s, err
	}
	empty, err := p.redis.stats(ctx)
	if err != nil {
		return s, err
	}
	if s.Enqueue, err = c.enqueue(ctx, p); err != nil {
		return s, err
	}
	full, err := p.redis.stats(ctx)
	if err != nil {
		return s, err
	}
	if s.Enqueue.Uploads >= memoryCount {
		s.WaitingBytes = full.minus(empty).Memory / float64(s.Enqueue.Uploads)
	}
	if err = c.drain(ctx, p, s.Enqueue.Uploads, &s); err != nil {
		return s, err
	}
	if err = p.redis.freed(ctx); err != nil {
		return s, err
	}
	drained, err := p.redis.stats(ctx)
	if s.Drain.Uploads == s.Enqueue.Uploads && s.Drain.Uploads >= memoryCount {
		s.DeliveredBytes = drained.minus(empty).Memory / float64(s.Drain.Uploads)
	}
	return s, err
}

// memoryCount is how many uploads it takes to tell what Redis holds for one: with fewer, its tables' steps count for more.
const memoryCount = 1000

// warmSize is the largest voucher of the warm-up: what it is to open does not depend on size.
const warmSize = 200 << 10

func (c *crew) enqueue(ctx context.Context, p plan) (*phase, error) {
	before, err := c.producer.tell(ctx, order{Do: "usage"})
	if err != nil {
		return nil, err
	}
	redisBefore, err := p.redis.stats(ctx)
	if err != nil {
		return nil, err
	}
	done, err := c.put(ctx, p.count, p.size, p.limit)
	if err != nil {
		return nil, err
	}
	redisAfter, err := p.redis.stats(ctx)
	if err != nil {
		return nil, err
	}
	after, err := c.producer.tell(ctx, order{Do: "usage"})
	return newPhase(done.Count, done.Elapsed, after.Usage.minus(before.Usage), redisAfter.minus(redisBefore)), err
}

// drain lets the workers fetch until n uploads have arrived, and until what follows a delivery is done.
func (c *crew) drain(ctx context.Context, p plan, n int, s *sample) error {
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
	var after usage
	if done.Count >= n {
		after, err = c.settled(ctx)
	} else { // what is left would only take time
		err = c.pause(ctx)
		if err == nil {
			after, err = c.used(ctx)
		}
	}
	if err != nil {
		return err
	}
	redisAfter, err := p.redis.stats(ctx)
	if err != nil {
		return err
	}
	s.Drain = newPhase(done.Count, done.Elapsed, after.minus(before), redisAfter.minus(redisBefore))
	s.PeakMemory, s.InFlight = after.Peak, done.InFlight
	return c.profile(ctx, false)
}

// measurePlain lets the plain loop send.
func (st *stage) measurePlain(ctx context.Context, p plan) (s sample, err error) {
	loop, _, err := spawn(ctx, st.dir, "plain", spec{Role: rolePlain, API: st.apiURL, Concurrency: p.concurrency})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, loop.stop()) }()
	s = sample{System: p.system.name, VoucherSize: p.size, Workers: 1, Concurrency: p.concurrency}
	c := &crew{st: st, setup: p.setup, workers: []*child{loop}}
	if err = c.expect(ctx, p.count); err != nil {
		return s, err
	}
	if _, err = loop.tell(ctx, order{Do: "run", N: p.warm, Size: min(p.size, warmSize), Limit: p.limit}); err != nil {
		return s, err
	}
	before, err := c.used(ctx)
	if err != nil {
		return s, err
	}
	done, err := loop.tell(ctx, order{Do: "run", N: p.count, Size: p.size, Limit: p.limit})
	if err != nil {
		return s, err
	}
	after, err := c.used(ctx)
	s.Drain = newPhase(done.Count, done.Elapsed, after.minus(before), redisStats{})
	s.PeakMemory = after.Peak
	return s, err
}
