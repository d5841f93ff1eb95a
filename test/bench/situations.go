package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// inFlightMost and inFlightSize are what must fit into little memory.
const (
	inFlightMost = 64
	inFlightSize = 5 << 20
)

// playMemory has many large vouchers under way at a time: the API takes two seconds to read each.
func (st *stage) playMemory(ctx context.Context) error {
	const reading = 2 * time.Second
	systems := []system{inRedis(), inFiles(), naiveQueue()}
	if st.opts.quick {
		systems = systems[:2]
	}
	for _, sys := range systems {
		s, err := st.measure(ctx, plan{
			setup: setup{
				system: sys, redis: st.redis, workers: 1, concurrency: inFlightMost, delay: reading, drip: true, label: "memory-" + sys.name,
			},
			size: inFlightSize, count: 2 * inFlightMost, warm: 5 * inFlightMost, limit: 3 * st.opts.limit,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", sys.name, err)
		}
		s.Scenario, s.Round = scenarioMemory, 1
		st.keep(s)
	}
	return nil
}

const (
	smallVoucher = 2 << 10
	slowAnswer   = 50 * time.Millisecond
)

// playWorkers lets one, two and four processes work on one account whose API takes its time.
func (st *stage) playWorkers(ctx context.Context) error {
	return st.repeat(ctx, min(2, st.opts.rounds), 0.2, func(ctx context.Context, n int) error {
		for _, workers := range []int{1, 2, 4} {
			// What so many calls at a time can do in some seconds.
			perSecond := float64(workers*st.opts.concurrency) / slowAnswer.Seconds()
			s, err := st.measure(ctx, plan{
				setup: setup{
					system: inRedis(), redis: st.redis, workers: workers, concurrency: st.opts.concurrency, delay: slowAnswer,
					label: fmt.Sprintf("workers-%d", workers),
				},
				size: smallVoucher, count: st.opts.scaled(int(5 * perSecond)), warm: 3 * warmUp * workers, limit: st.opts.limit,
			})
			if err != nil {
				return fmt.Errorf("%d workers: %w", workers, err)
			}
			s.Scenario, s.Round = scenarioWorkers, n
			st.keep(s)
		}
		return nil
	})
}

// playLatency puts Redis farther away.
func (st *stage) playLatency(ctx context.Context) error {
	delays := []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond}
	return st.repeat(ctx, min(2, st.opts.rounds), 0.4, func(ctx context.Context, n int) error {
		for _, delay := range delays {
			for _, sys := range []system{naiveQueue(), inRedis()} {
				s, err := st.far(ctx, sys, delay)
				if err != nil {
					return fmt.Errorf("%s with redis %v away: %w", sys.name, delay, err)
				}
				s.Scenario, s.Round, s.RedisMS = scenarioLatency, n, float64(delay.Milliseconds())
				st.keep(s)
			}
		}
		return nil
	})
}

// far measures a system whose Redis is a delay away, there and back.
func (st *stage) far(ctx context.Context, sys system, delay time.Duration) (s sample, err error) {
	way, ready, err := spawn(ctx, st.dir, "proxy", spec{Role: roleProxy, Redis: st.redis.url, Delay: delay})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, way.stop()) }()
	// So many that neither their fetching one by one nor their round trips are over at once.
	count := st.opts.scaled(int(min(3000, 5*time.Second/delay)))
	return st.measure(ctx, plan{
		setup: setup{
			system: sys, redis: st.redis, redisURL: ready.URL, workers: 1, concurrency: st.opts.concurrency,
			label: fmt.Sprintf("latency-%s-%v", sys.name, delay),
		},
		size: smallVoucher, count: count, warm: 64, limit: st.opts.limit,
	})
}
