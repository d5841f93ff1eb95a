package main

import "fmt"

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
	t := rateTargets(samples)
	t = append(t, memoryTargets(samples)...)
	return append(t, scalingTargets(samples)...)
}

// find gives the group of a system, empty if it was not measured.
func find(gs []group, name string, bytes int) group {
	for _, g := range gs {
		if g.first.System == name && g.first.VoucherSize == bytes {
			return g
		}
	}
	return group{}
}

func rateTargets(samples []sample) []target {
	gs := groups(samples, scenarioSizes)
	var out []target
	compare := func(line int, what string, a, b system, bytes int, bound float64, number func(sample) float64) {
		s := ratio(find(gs, a.name, bytes), find(gs, b.name, bytes), number)
		out = append(out, check(line, fmt.Sprintf("%s, %s, against the %s, %s", what, a.name, b.name, size(bytes)), s, bound, true, " ×"))
	}
	const draining, enqueueing = "draining", "enqueueing"
	compare(1, draining, inRedis(), naiveQueue(), 2<<10, 0.8, drainRate)
	compare(1, draining, inRedis(), naiveQueue(), 20<<10, 1.5, drainRate)
	compare(1, draining, inRedis(), naiveQueue(), 200<<10, 2.5, drainRate)
	compare(1, draining, inRedis(), naiveQueue(), 1<<20, 3, drainRate)
	compare(1, draining, inFiles(), plainLoop(), 200<<10, 0.5, drainRate)
	compare(1, draining, inFiles(), plainLoop(), 1<<20, 0.75, drainRate)
	compare(2, enqueueing, inRedis(), naiveQueue(), 2<<10, 0.9, enqueueRate)
	compare(2, enqueueing, inRedis(), naiveQueue(), 200<<10, 2.5, enqueueRate)
	return out
}

// worst takes, of the spreads of a number at every size, the one with the highest median.
func worst(gs []group, name string, number func(sample) float64) spread {
	var most spread
	for _, g := range gs {
		if g.first.System != name {
			continue
		}
		if s := g.of(number); most == (spread{}) || s.Median > most.Median {
			most = s
		}
	}
	return most
}

func memoryTargets(samples []sample) []target {
	const kilo = 1024
	gs := groups(samples, scenarioSizes)
	out := []target{
		check(3, "Redis bytes per waiting upload besides the voucher, redis store, worst size",
			worst(gs, inRedis().name, waitingExtra), 1.5*kilo, false, " B"),
		check(3, "Redis bytes per waiting upload, file store, worst size", worst(gs, inFiles().name, waitingExtra), 1.5*kilo, false, " B"),
		check(3, "Redis bytes per delivered upload, redis store, worst size", worst(gs, inRedis().name, deliveredBytes), kilo, false, " B"),
		check(3, "Redis bytes per delivered upload, file store, worst size", worst(gs, inFiles().name, deliveredBytes), kilo, false, " B"),
	}
	for _, sys := range []system{inRedis(), inFiles()} {
		g := find(groups(samples, scenarioMemory), sys.name, inFlightSize)
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
	var least, most, one, four group
	for _, g := range groups(samples, scenarioBacklog) {
		if least.samples == nil || g.first.Waiting < least.first.Waiting {
			least = g
		}
		if most.samples == nil || g.first.Waiting > most.first.Waiting {
			most = g
		}
	}
	what := "rate with 1,000,000 waiting and 1,000,000 delivered, against that with 1,000"
	deep := check(5, what, spread{}, 0.9, true, " ×")
	if most.first.Waiting > least.first.Waiting {
		what = fmt.Sprintf("rate with %d waiting and %d delivered, against that with %d",
			most.first.Waiting, most.first.Delivered, least.first.Waiting)
		deep = check(5, what, ratio(most, least, drainRate), 0.9, true, " ×")
	}
	for _, g := range groups(samples, scenarioWorkers) {
		switch g.first.Workers {
		case 1:
			one = g
		case 4:
			four = g
		}
	}
	return []target{deep, check(6, "four worker processes against one, API of 50 ms", ratio(four, one, drainRate), 3.6, true, " ×")}
}
