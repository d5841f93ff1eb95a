package main

import (
	"fmt"
	"slices"
)

// charts draws what was measured.
func (r result) charts() []chart {
	var out []chart
	for _, c := range []chart{
		r.bySize("drain", "Draining", "uploads per second", drainRate),
		r.bySize("enqueue", "Enqueueing", "uploads per second", enqueueRate),
		r.bySize("cpu", "CPU of worker and Redis while draining", "seconds per 1,000 uploads",
			inDrain(func(p phase) float64 { return p.CPU + p.RedisCPU })),
		r.bySize("memory", "Worker's peak memory", "MB", peakMB),
		r.bySituation("workers", scenarioWorkers, "Draining by several worker processes, API of 50 ms",
			func(s sample) string { return fmt.Sprintf("%d workers", s.Workers) }),
		r.bySituation("latency", scenarioLatency, "Draining with Redis farther away",
			func(s sample) string { return fmt.Sprintf("%g ms", s.RedisMS) }),
		r.bySituation("backlog", scenarioBacklog, "Draining with a backlog", func(s sample) string {
			if s.Delivered == 0 {
				return fmt.Sprintf("%d waiting", s.Waiting)
			}
			return fmt.Sprintf("%d waiting, %d delivered", s.Waiting, s.Delivered)
		}),
	} {
		if len(c.series) > 0 {
			out = append(out, c)
		}
	}
	return out
}

func (r result) bySize(file, title, unit string, number func(sample) float64) chart {
	return chartOf(chart{file: file, title: title, unit: unit, log: true}, groups(r.Samples, scenarioSizes),
		func(s sample) string { return size(s.VoucherSize) }, number)
}

func (r result) bySituation(file, scenario, title string, category func(sample) string) chart {
	return chartOf(chart{file: file, title: title, unit: "uploads per second"}, groups(r.Samples, scenario), category, drainRate)
}

// chartOf sorts groups into categories and series.
func chartOf(c chart, gs []group, category func(sample) string, number func(sample) float64) chart {
	var names []string
	for _, g := range gs {
		if name := category(g.first); !slices.Contains(c.categories, name) {
			c.categories = append(c.categories, name)
		}
		if !slices.Contains(names, g.first.System) && g.of(number) != (spread{}) {
			names = append(names, g.first.System)
		}
	}
	for _, name := range names {
		s := series{name: name, values: make([]spread, len(c.categories))}
		for _, g := range gs {
			if g.first.System == name {
				s.values[slices.Index(c.categories, category(g.first))] = g.of(number)
			}
		}
		c.series = append(c.series, s)
	}
	return c
}
