package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// plan is one measurement: one system in one situation, and how many uploads of which size.
type plan struct {
	scenario    string
	system      system
	redis       *server
	redisURL    string // by which the system reaches it; "": its own
	workers     int
	concurrency int
	delay       time.Duration // of the API
	drip        bool          // the delay is spent while reading

	size, count, warm int
	limit             time.Duration // of each phase
}

func (p plan) sample() sample {
	return sample{
		Scenario: p.scenario, System: p.system.name, VoucherSize: p.size, Workers: p.workers, Concurrency: p.concurrency,
		APIMS: float64(p.delay) / float64(time.Millisecond),
	}
}

// phase measures what children and Redis use while something is done.
func (d *deployment) phase(ctx context.Context, children []*child, do func() (Reply, error)) (ph phase, after Usage, err error) {
	redis := func() (counters, error) {
		if d.redis == nil {
			return nil, nil
		}
		return d.redis.info(ctx)
	}
	before, err := used(ctx, children...)
	if err != nil {
		return ph, after, err
	}
	redisBefore, err := redis()
	if err != nil {
		return ph, after, err
	}
	r, err := do()
	if err != nil {
		return ph, after, err
	}
	redisAfter, err := redis()
	if err != nil {
		return ph, after, err
	}
	after, err = used(ctx, children...)
	return newPhase(r, after.minus(before), redisAfter.minus(redisBefore)), after, err
}

func (d *deployment) enqueue(ctx context.Context, s *sample) (err error) {
	s.Enqueue, _, err = d.phase(ctx, []*child{d.producer}, func() (Reply, error) { return d.put(ctx, d.count, d.size, d.limit) })
	return err
}

// drain lets the workers fetch until n uploads have arrived. Unless more wait it ends when what
// follows a delivery is done too.
func (d *deployment) drain(ctx context.Context, n int, moreWait bool, s *sample) error {
	d.b.api.expect(n, d.delay, d.drip)
	profile := ""
	if d.b.opts.profiles != "" {
		name := fmt.Sprintf("%s-%s-%s-%03d.pprof", d.scenario, d.system.name, size(d.size), d.number)
		profile = filepath.Join(d.b.opts.profiles, strings.ReplaceAll(name, " ", ""))
	}
	err := d.workers[0].call(ctx, "Profile", profile, new(bool))
	if err != nil {
		return err
	}
	var after Usage
	s.Drain, after, err = d.phase(ctx, d.workers, func() (Reply, error) {
		if perr := d.pause(ctx, false); perr != nil {
			return Reply{}, perr
		}
		r := d.b.api.wait(ctx, d.limit)
		switch {
		case moreWait:
			r.Count = min(r.Count, n)
			return r, nil
		case r.Count >= n:
			return r, d.settled(ctx)
		default: // what is left would only take time
			return r, d.pause(ctx, true)
		}
	})
	s.PeakMemory, s.InFlight = after.Peak, int(d.b.api.most.Load())
	return errors.Join(err, d.workers[0].call(ctx, "Profile", "", new(bool)))
}

// measure empties Redis, starts a system, warms it up, enqueues while it may not fetch, and lets it
// drain.
func (b *bench) measure(ctx context.Context, p plan) (s sample, err error) {
	if err = p.redis.clear(ctx); err != nil {
		return s, err
	}
	d, err := b.deploy(ctx, p)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	s = p.sample()
	s.IdleMemory = d.fresh.Resident
	if err = d.warm(ctx); err != nil {
		return s, err
	}
	empty, err := p.redis.info(ctx)
	if err != nil {
		return s, err
	}
	if err = d.enqueue(ctx, &s); err != nil {
		return s, err
	}
	full, err := p.redis.info(ctx)
	if err != nil {
		return s, err
	}
	n := s.Enqueue.Uploads
	if err = errors.Join(d.drain(ctx, n, false, &s), p.redis.freed(ctx)); err != nil {
		return s, err
	}
	drained, err := p.redis.info(ctx)
	if n >= memoryCount {
		s.WaitingBytes = (full.memory() - empty.memory()) / float64(n)
		if s.Drain.Uploads == n {
			s.DeliveredBytes = (drained.memory() - empty.memory()) / float64(n)
		}
	}
	return s, err
}

// warm delivers some uploads, so that connections are open, scripts loaded, and all slots in use,
// and pauses the queue.
func (d *deployment) warm(ctx context.Context) error {
	d.b.api.expect(d.plan.warm, d.delay, d.drip)
	if _, err := d.put(ctx, d.plan.warm, min(d.size, warmSize), warmLimit); err != nil {
		return err
	}
	if r := d.b.api.wait(ctx, warmLimit); r.Count < d.plan.warm {
		return fmt.Errorf("warming up, %s delivered %d of %d within %v", d.system.name, r.Count, d.plan.warm, warmLimit)
	}
	return errors.Join(d.settled(ctx), d.pause(ctx, true), d.redis.freed(ctx))
}

// measurePlain lets the plain loop send.
func (b *bench) measurePlain(ctx context.Context, p plan) (s sample, err error) {
	loop, err := spawn(ctx, b.dir, "plain", spec{System: kindPlain, API: b.server.URL, Concurrency: p.concurrency})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, loop.stop()) }()
	b.api.expect(p.count, p.delay, p.drip)
	if _, err = loop.run(ctx, Order{N: p.warm, Size: min(p.size, warmSize), Limit: p.limit}); err != nil {
		return s, err
	}
	p.redis = nil
	s = p.sample()
	var after Usage
	s.Drain, after, err = (&deployment{plan: p, b: b}).phase(ctx, []*child{loop}, func() (Reply, error) {
		return loop.run(ctx, Order{N: p.count, Size: p.size, Limit: p.limit})
	})
	s.PeakMemory = after.Peak
	return s, err
}

// measureBacklog adds as many uploads as it takes out: those for the warm-up and those that are
// measured.
func (b *bench) measureBacklog(ctx context.Context, p plan, next *int) (s sample, err error) {
	d := &deployment{plan: p}
	if err = d.pause(ctx, true); err != nil {
		return s, err
	}
	if d, err = b.deploy(ctx, p); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	d.next = *next
	defer func() { *next = d.next }()
	s = p.sample()
	s.IdleMemory = d.fresh.Resident
	if _, err = d.put(ctx, p.warm, p.size, warmLimit); err != nil {
		return s, err
	}
	if err = d.enqueue(ctx, &s); err != nil {
		return s, err
	}
	b.api.expect(p.warm, 0, false)
	if err = d.pause(ctx, false); err != nil {
		return s, err
	}
	b.api.wait(ctx, warmLimit)
	if err = errors.Join(d.pause(ctx, true), d.settled(ctx)); err != nil {
		return s, err
	}
	return s, errors.Join(d.drain(ctx, p.count, true, &s), d.pause(ctx, true))
}
