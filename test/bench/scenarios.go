package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	scenarioWorkers = "workers"
	scenarioMemory  = "memory"
	scenarioLatency = "latency"
	scenarioSizes   = "sizes"
	scenarioBacklog = "backlog"
)

// scenario is one series of measurements.
type scenario struct {
	name, title string
	run         func(*bench, context.Context) error
}

// scenarios are all there are, in the order in which they run.
func scenarios() []scenario {
	return []scenario{
		{scenarioWorkers, "several worker processes, API of 50 ms", (*bench).runWorkers},
		{scenarioMemory, "memory with many large vouchers in flight", (*bench).runMemory},
		{scenarioLatency, "Redis far away", (*bench).runLatency},
		{scenarioSizes, "side by side, by size of voucher", (*bench).runSizes},
		{scenarioBacklog, "rate with much waiting and much delivered", (*bench).runBacklog},
	}
}

// find gives the scenario of a name, or one without a name.
func find(name string) scenario {
	for _, s := range scenarios() {
		if s.name == name {
			return s
		}
	}
	return scenario{}
}

// one is the plan of one worker process with the usual concurrency.
func (b *bench) one(scenario string, sys system, size, count int) plan {
	return plan{
		scenario: scenario, system: sys, redis: b.redis, workers: 1, concurrency: b.opts.concurrency, size: size, count: count,
		warm: warmUp, limit: b.opts.limit,
	}
}

// warmUp is enough for a worker to use all its slots, which takes one success fewer than it has
// slots at last.
const warmUp = 150

// runSizes measures every system with every size, in turn, so that what the machine does besides
// meets them all alike.
func (b *bench) runSizes(ctx context.Context) error {
	systems := []system{plainLoop(), naiveQueue(), inRedis(), inFiles()}
	if !b.opts.quick {
		systems = append(systems, naiveQueue().retained(), inRedis().retained())
	}
	if b.opts.systems != nil {
		systems = slices.DeleteFunc(systems, func(s system) bool { return !slices.Contains(b.opts.systems, s.name) })
	}
	return b.repeat(b.opts.rounds, 1, func(n int) error {
		for _, bytes := range b.opts.sizes {
			for _, sys := range systems {
				p, measure := b.one(scenarioSizes, sys, bytes, b.count(bytes)), b.measure
				if sys.kind == kindPlain {
					p.count *= 3 // it is over soon
					measure = b.measurePlain
				}
				s, err := measure(ctx, p)
				if err != nil {
					return fmt.Errorf("%s with %s: %w", sys.name, size(bytes), err)
				}
				s.Round = n
				b.keep(s)
			}
			slices.Reverse(systems) // none is always the first after another
		}
		return nil
	})
}

// count gives how many uploads of a size make a measurement of a second or more.
func (b *bench) count(bytes int) int {
	switch {
	case bytes <= 2<<10:
		return b.opts.scaled(5000)
	case bytes <= 20<<10:
		return b.opts.scaled(3000)
	case bytes <= 200<<10:
		return b.opts.scaled(1000)
	case bytes <= 1<<20:
		return b.opts.scaled(250)
	default:
		return b.opts.scaled(60)
	}
}

// inFlightMost and inFlightSize are what must fit into little memory.
const (
	inFlightMost = 64
	inFlightSize = 5 << 20
)

// runMemory has many large vouchers under way at a time: the API takes two seconds to read each.
func (b *bench) runMemory(ctx context.Context) error {
	systems := []system{inRedis(), inFiles(), naiveQueue()}
	if b.opts.quick {
		systems = systems[:2]
	}
	for _, sys := range systems {
		p := b.one(scenarioMemory, sys, inFlightSize, 2*inFlightMost)
		p.concurrency, p.delay, p.drip, p.warm, p.limit = inFlightMost, 2*time.Second, true, 5*inFlightMost, 3*b.opts.limit
		s, err := b.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", sys.name, err)
		}
		s.Round = 1
		b.keep(s)
	}
	return nil
}

const (
	smallVoucher = 2 << 10
	slowAnswer   = 50 * time.Millisecond
)

// runWorkers lets one, two and four processes work on one account whose API takes its time.
func (b *bench) runWorkers(ctx context.Context) error {
	return b.repeat(min(2, b.opts.rounds), 0.2, func(n int) error {
		for _, workers := range []int{1, 2, 4} {
			// What so many calls at a time can do in some seconds.
			perSecond := float64(workers*b.opts.concurrency) / slowAnswer.Seconds()
			p := b.one(scenarioWorkers, inRedis(), smallVoucher, b.opts.scaled(int(5*perSecond)))
			p.workers, p.delay, p.warm = workers, slowAnswer, 3*warmUp*workers
			s, err := b.measure(ctx, p)
			if err != nil {
				return fmt.Errorf("%d workers: %w", workers, err)
			}
			s.Round = n
			b.keep(s)
		}
		return nil
	})
}

// runLatency puts Redis farther away.
func (b *bench) runLatency(ctx context.Context) error {
	return b.repeat(min(2, b.opts.rounds), 0.4, func(n int) error {
		for _, delay := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond} {
			for _, sys := range []system{naiveQueue(), inRedis()} {
				s, err := b.far(ctx, sys, delay)
				if err != nil {
					return fmt.Errorf("%s with redis %v away: %w", sys.name, delay, err)
				}
				s.Round, s.RedisMS = n, float64(delay.Milliseconds())
				b.keep(s)
			}
		}
		return nil
	})
}

// far measures a system whose Redis is a delay away, there and back.
func (b *bench) far(ctx context.Context, sys system, delay time.Duration) (s sample, err error) {
	way, err := newProxy(ctx, b.redis.url, delay)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, way.close()) }()
	// So many that neither their fetching one by one nor their round trips are over at once.
	p := b.one(scenarioLatency, sys, smallVoucher, b.opts.scaled(int(min(3000, 5*time.Second/delay))))
	p.redisURL, p.warm = way.url(), 64
	return b.measure(ctx, p)
}

// backlog is a Redis server with much in it.
type backlog struct {
	server    *server
	waiting   int // uploads, beside those that are measured
	delivered int
	next      int // number of the next upload
}

// runBacklog compares the rate with little and with much waiting and delivered, each on a Redis
// server of its own, in turn.
func (b *bench) runBacklog(ctx context.Context) (err error) {
	var levels []*backlog
	defer func() {
		for _, l := range levels {
			err = errors.Join(err, l.server.close())
		}
	}()
	for i, waiting := range b.opts.backlog {
		l := &backlog{waiting: waiting}
		if waiting == slices.Max(b.opts.backlog) {
			l.delivered = b.opts.delivered
		}
		if l.server, err = startRedis(ctx, b.dir, fmt.Sprintf("redis-%d", i)); err != nil {
			return err
		}
		levels = append(levels, l)
		if err = b.fill(ctx, l); err != nil {
			return fmt.Errorf("fill a ledger with %d waiting: %w", waiting, err)
		}
	}
	for n := 1; n <= b.opts.rounds; n++ {
		for _, l := range levels {
			p := b.one(scenarioBacklog, inRedis(), smallVoucher, b.opts.scaled(3000))
			p.redis = l.server
			s, err := b.measureBacklog(ctx, p, &l.next)
			if err != nil {
				return fmt.Errorf("%d waiting: %w", l.waiting, err)
			}
			s.Round, s.Waiting, s.Delivered = n, l.waiting, l.delivered
			b.keep(s)
		}
		slices.Reverse(levels)
	}
	return nil
}
