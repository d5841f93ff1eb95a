package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// scenarios are all series of measurements there are, by name.
func scenarios() map[string]func(*bench, context.Context) error {
	return map[string]func(*bench, context.Context) error{
		"start": (*bench).runStart, "idle": (*bench).runIdle, "kill": (*bench).runKill, "outage": (*bench).runOutage,
		"workers": (*bench).runWorkers, "memory": (*bench).runMemory, "latency": (*bench).runLatency, "sizes": (*bench).runSizes,
		"backlog": (*bench).runBacklog, "webhooks": (*bench).runWebhooks,
	}
}

// one is one worker process with the usual concurrency.
func (b *bench) one(sys system) setup {
	return setup{system: sys, workers: 1, concurrency: b.opts.Concurrency}
}

// warmUp is enough for a worker to use all its slots, which takes one success fewer than it has
// slots at last.
const warmUp = 150

// load gives a load of so many uploads, fewer in a quick run.
func (b *bench) load(count, bytes int) load {
	l := load{size: bytes, count: count, warm: warmUp, limit: 10 * time.Second}
	if b.opts.Quick {
		l.count, l.limit = max(8, count/5), 3*time.Second
	}
	return l
}

// rounds repeats something.
func (b *bench) rounds(do func(round int) error) error {
	for round := range b.opts.Rounds {
		if err := do(round + 1); err != nil {
			return err
		}
	}
	return nil
}

// runSizes measures every system with every size, in turn, so that what the machine does besides
// meets them all alike.
func (b *bench) runSizes(ctx context.Context) error {
	systems, sizes := []system{httpLoop(), naiveQueue(), inRedis(), inFiles()}, b.opts.Sizes
	if !b.opts.Quick {
		systems = append(systems, naiveQueue().hour(), inRedis().hour())
	} else {
		sizes = slices.DeleteFunc(slices.Clone(sizes), func(kb int) bool { return kb > 200 })
	}
	if b.opts.Systems != nil {
		systems = slices.DeleteFunc(systems, func(s system) bool { return !slices.Contains(b.opts.Systems, s.name) })
	}
	return b.rounds(func(round int) error {
		for _, kb := range sizes {
			for _, sys := range systems {
				l := b.load(map[bool]int{true: 5000, false: max(60, min(3000, 250_000/kb))}[kb <= 2], kb<<10)
				if sys.kind == kindLoop {
					l.count *= 3 // it is over soon
				}
				s, err := b.measure(ctx, b.one(sys), l, fmt.Sprintf("sizes/voucher=%dKB/system=%s", kb, sys.name))
				if err != nil {
					return err
				}
				b.keep(round, s)
			}
			slices.Reverse(systems) // none is always the first after another
		}
		return nil
	})
}

// runMemory has many large vouchers under way at a time: the API takes two seconds to read each.
func (b *bench) runMemory(ctx context.Context) error {
	const inFlight, bytes = 64, 5 << 20
	systems := []system{inRedis(), inFiles(), naiveQueue()}
	if b.opts.Quick {
		systems = systems[:2]
	}
	for _, sys := range systems {
		u := b.one(sys)
		u.concurrency = inFlight
		l := load{size: bytes, count: 2 * inFlight, warm: 5 * inFlight, delay: 2 * time.Second, drip: true, limit: 30 * time.Second}
		s, err := b.measure(ctx, u, l, "memory/system="+sys.name)
		if err != nil {
			return err
		}
		b.keep(1, s)
	}
	return nil
}

const small = 2 << 10 // bytes of a voucher

// runWorkers lets one, two and four processes work on one account whose API takes its time.
func (b *bench) runWorkers(ctx context.Context) error {
	const answer = 50 * time.Millisecond
	return b.rounds(func(round int) error {
		for _, n := range []int{1, 2, 4} {
			u := b.one(inRedis())
			u.workers = n
			// What so many calls at a time can do in some seconds.
			l := b.load(int(5*float64(n*u.concurrency)/answer.Seconds()), small)
			l.delay, l.warm = answer, 3*warmUp*n
			s, err := b.measure(ctx, u, l, fmt.Sprintf("workers/workers=%d", n))
			if err != nil {
				return err
			}
			b.keep(round, s)
		}
		return nil
	})
}

// runLatency puts Redis farther away.
func (b *bench) runLatency(ctx context.Context) error {
	return b.rounds(func(round int) error {
		for _, away := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond} {
			for _, sys := range []system{naiveQueue(), inRedis()} {
				u := b.one(sys)
				u.away = away
				// So many that neither their fetching one by one nor their round trips are over at once.
				l := b.load(int(min(3000, 5*time.Second/away)), small)
				l.warm = 64
				s, err := b.measure(ctx, u, l, fmt.Sprintf("latency/redis-ms=%d/system=%s", away.Milliseconds(), sys.name))
				if err != nil {
					return err
				}
				b.keep(round, s)
			}
		}
		return nil
	})
}

// runBacklog compares the rate with little and with much waiting and delivered, in turn. Each
// measurement adds as many uploads as it takes out.
func (b *bench) runBacklog(ctx context.Context) (err error) {
	levels, delivered := make([]*deployment, len(b.opts.Backlog)), make([]int, len(b.opts.Backlog))
	for i, waiting := range b.opts.Backlog {
		d, err := b.deploy(ctx, b.one(inRedis()))
		defer d.stop() //nolint:errcheck // all is measured
		if waiting == slices.Max(b.opts.Backlog) {
			delivered[i] = b.opts.Delivered
		}
		if err == nil {
			err = d.fill(ctx, delivered[i], waiting)
		}
		if err != nil {
			return fmt.Errorf("fill a ledger with %d waiting: %w", waiting, err)
		}
		levels[i] = d
	}
	return b.rounds(func(round int) error {
		for i, d := range levels {
			l := b.load(3000, small)
			l.backlog = true
			s := &sample{name: fmt.Sprintf("backlog/waiting=%d", b.opts.Backlog[i])}
			s.add("delivered", float64(delivered[i]))
			if err := d.measure(ctx, l, s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			b.keep(round, s)
		}
		return nil
	})
}

// fill delivers uploads, and lets others wait.
func (d *deployment) fill(ctx context.Context, delivered, waiting int) error {
	if err := d.warm(ctx, max(warmUp, delivered), small); err != nil {
		return err
	}
	if err := d.pause(ctx, true); err != nil {
		return err
	}
	_, _, err := d.put(ctx, waiting, small, time.Hour)
	return err
}
