package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// playSizes measures every system with every size, in turn, so that what the machine does besides meets them all alike.
func (st *stage) playSizes(ctx context.Context) error {
	systems := st.systems()
	return st.repeat(ctx, st.opts.rounds, 1, func(ctx context.Context, n int) error {
		for _, bytes := range st.opts.sizes {
			for _, sys := range systems {
				p := plan{
					setup: setup{
						system: sys, redis: st.redis, workers: 1, concurrency: st.opts.concurrency,
						label: strings.ReplaceAll(fmt.Sprintf("%s-%s", sys.name, size(bytes)), " ", ""),
					},
					size: bytes, count: st.count(bytes), warm: warmUp, limit: st.opts.limit,
				}
				s, err := st.one(ctx, p)
				if err != nil {
					return fmt.Errorf("%s with %s: %w", sys.name, size(bytes), err)
				}
				s.Scenario, s.Round = scenarioSizes, n
				st.keep(s)
			}
			slices.Reverse(systems) // none is always the first after another
		}
		return nil
	})
}

// warmUp is enough for a breaker to open all its slots, which takes one success fewer than it has slots at last.
const warmUp = 150

func (st *stage) one(ctx context.Context, p plan) (sample, error) {
	if p.system.kind == kindPlain {
		p.count *= 3 // it is over soon
		return st.measurePlain(ctx, p)
	}
	return st.measure(ctx, p)
}

func (st *stage) systems() []system {
	all := []system{plainLoop(), naiveQueue(), inRedis(), inFiles()}
	if !st.opts.quick {
		all = append(all, naiveQueue().retained(), inRedis().retained())
	}
	if st.opts.systems == nil {
		return all
	}
	return slices.DeleteFunc(all, func(s system) bool { return !slices.Contains(st.opts.systems, s.name) })
}

// count gives how many uploads of a size make a measurement of a second or more.
func (st *stage) count(bytes int) int {
	switch {
	case bytes <= 2<<10:
		return st.opts.scaled(5000)
	case bytes <= 20<<10:
		return st.opts.scaled(3000)
	case bytes <= 200<<10:
		return st.opts.scaled(1000)
	case bytes <= 1<<20:
		return st.opts.scaled(250)
	default:
		return st.opts.scaled(60)
	}
}
