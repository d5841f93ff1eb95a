package main

import (
	"fmt"
	"slices"
)

// target is one line of what voucherd is to reach.
type target struct {
	Line     int    `json:"line"`
	What     string `json:"what"`
	Target   string `json:"target"`
	Measured string `json:"measured"`
	Met      string `json:"met"` // "met", "not met" or "not measured"
}

// check compares the median with a bound.
func check(line int, what string, s spread, bound float64, atLeast bool, unit string) target {
	sign := "≤"
	if atLeast {
		sign = "≥"
	}
	t := target{Line: line, What: what, Target: sign + " " + digits(bound) + unit, Measured: s.ranged() + unit, Met: "not met"}
	switch {
	case s == spread{}:
		t.Measured, t.Met = "", "not measured"
	case atLeast == (s.Median >= bound):
		t.Met = "met"
	}
	return t
}

// targetsOf checks everything that was measured.
func targetsOf(samples []sample) []target {
	return append(append(rateTargets(samples), memoryTargets(samples)...), scalingTargets(samples)...)
}

// pick gives the group of a system, empty if it was not measured.
func pick(gs []group, s system, bytes int) group {
	for _, g := range gs {
		if g.first.System == s.name && g.first.VoucherSize == bytes {
			return g
		}
	}
	return group{}
}

func rateTargets(samples []sample) (out []target) {
	gs := groups(samples, scenarioSizes)
	for _, t := range []struct {
		line   int
		a, b   system
		bytes  int
		bound  float64
		what   string
		number func(sample) float64
	}{
		{1, inRedis(), naiveQueue(), 2 << 10, 0.8, "draining", drainRate},
		{1, inRedis(), naiveQueue(), 20 << 10, 1.5, "draining", drainRate},
		{1, inRedis(), naiveQueue(), 200 << 10, 2.5, "draining", drainRate},
		{1, inRedis(), naiveQueue(), 1 << 20, 3, "draining", drainRate},
		{1, inFiles(), plainLoop(), 200 << 10, 0.5, "draining", drainRate},
		{1, inFiles(), plainLoop(), 1 << 20, 0.75, "draining", drainRate},
		{2, inRedis(), naiveQueue(), 2 << 10, 0.9, "enqueueing", enqueueRate},
		{2, inRedis(), naiveQueue(), 200 << 10, 2.5, "enqueueing", enqueueRate},
	} {
		s := ratio(pick(gs, t.a, t.bytes), pick(gs, t.b, t.bytes), t.number)
		out = append(out, check(t.line, fmt.Sprintf("%s, %s, against the %s, %s", t.what, t.a.name, t.b.name, size(t.bytes)), s, t.bound, true, " ×"))
	}
	return out
}

func memoryTargets(samples []sample) (out []target) {
	const kilo = 1024
	// The worst of all sizes: the spread with the highest median.
	worst := func(what string, s system, number func(sample) float64, bound float64) {
		var most spread
		for _, g := range groups(samples, scenarioSizes) {
			if here := g.of(number); g.first.System == s.name && (most == (spread{}) || here.Median > most.Median) {
				most = here
			}
		}
		out = append(out, check(3, "Redis bytes per "+what+", worst size", most, bound, false, " B"))
	}
	worst("waiting upload besides the voucher, redis store", inRedis(), waitingExtra, 1.5*kilo)
	worst("waiting upload, file store", inFiles(), waitingExtra, 1.5*kilo)
	worst("delivered upload, redis store", inRedis(), deliveredBytes, kilo)
	worst("delivered upload, file store", inFiles(), deliveredBytes, kilo)
	for _, sys := range []system{inRedis(), inFiles()} {
		g := pick(groups(samples, scenarioMemory), sys, inFlightSize)
		what := fmt.Sprintf("worker's peak above idle, %d of %s in flight, %s", inFlightMost, size(inFlightSize), sys.name)
		t := check(4, what, g.of(grownMB), 64, false, " MB")
		if len(g.samples) > 0 && g.first.InFlight < inFlightMost {
			t.Met = fmt.Sprintf("not measured: only %d in flight", g.first.InFlight)
		}
		out = append(out, t)
	}
	return out
}

func scalingTargets(samples []sample) []target {
	what, deep := "rate with 1,000,000 waiting and 1,000,000 delivered, against that with 1,000", spread{}
	if gs := groups(samples, scenarioBacklog); len(gs) > 1 {
		byWaiting := func(a, b group) int { return a.first.Waiting - b.first.Waiting }
		least, most := slices.MinFunc(gs, byWaiting), slices.MaxFunc(gs, byWaiting)
		what = fmt.Sprintf("rate with %d waiting and %d delivered, against that with %d",
			most.first.Waiting, most.first.Delivered, least.first.Waiting)
		deep = ratio(most, least, drainRate)
	}
	by := map[int]group{}
	for _, g := range groups(samples, scenarioWorkers) {
		by[g.first.Workers] = g
	}
	return []target{
		check(5, what, deep, 0.9, true, " ×"),
		check(6, "four worker processes against one, API of 50 ms", ratio(by[4], by[1], drainRate), 3.6, true, " ×"),
	}
}
