package main

import (
	"fmt"
	"math"
	"slices"
)

// spread is the median of some measurements, and their range.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	s := spread{Median: v[mid], Min: v[0], Max: v[len(v)-1]}
	if len(v)%2 == 0 {
		s.Median = (v[mid-1] + v[mid]) / 2
	}
	return s
}

// ranged writes the median and, if it says more, the range.
func (s spread) ranged() string {
	if s == (spread{}) {
		return "–"
	}
	if digits(s.Min) == digits(s.Max) {
		return digits(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

func (s spread) short() string {
	if s == (spread{}) {
		return "–"
	}
	return digits(s.Median)
}

// digits writes a number with about three digits that count.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		text := fmt.Sprintf("%.0f", v)
		for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// group is the measurements of one system in one situation, one of every round.
type group struct {
	first   sample // for what all have alike
	samples []sample
}

func alike(a, b sample) bool {
	return a.Scenario == b.Scenario && a.System == b.System && a.VoucherSize == b.VoucherSize && a.Workers == b.Workers &&
		a.RedisMS == b.RedisMS && a.Waiting == b.Waiting
}

// groups sorts the measurements of a scenario, in the order in which they were first made.
func groups(samples []sample, scenario string) []group {
	var out []group
	for _, s := range samples {
		if s.Scenario != scenario {
			continue
		}
		i := slices.IndexFunc(out, func(g group) bool { return alike(g.first, s) })
		if i < 0 {
			out = append(out, group{first: s})
			i = len(out) - 1
		}
		out[i].samples = append(out[i].samples, s)
	}
	return out
}

// of gives the spread of a number over the rounds. Measurements without it are left out.
func (g group) of(number func(sample) float64) spread {
	var values []float64
	for _, s := range g.samples {
		if v := number(s); v != 0 {
			values = append(values, v)
		}
	}
	return spreadOf(values)
}

// ratio compares two groups round by round.
func ratio(a, b group, number func(sample) float64) spread {
	var values []float64
	for _, s := range a.samples {
		for _, other := range b.samples {
			if v := number(other); s.Round == other.Round && v != 0 {
				values = append(values, number(s)/v)
			}
		}
	}
	return spreadOf(values)
}

// The numbers of a sample.

func drainRate(s sample) float64   { return s.Drain.PerSecond }
func enqueueRate(s sample) float64 { return s.Enqueue.PerSecond }
func redisCPU(s sample) float64    { return s.Drain.RedisCPU }

func peakMB(s sample) float64 { return float64(s.PeakMemory) / (1 << 20) }

// grownMB is the peak above what an idle worker has.
func grownMB(s sample) float64 { return float64(s.PeakMemory-s.IdleMemory) / (1 << 20) }

// waitingExtra is what Redis holds per waiting upload besides its voucher, if it holds that too.
func waitingExtra(s sample) float64 {
	if s.System == inRedis().name && s.WaitingBytes > 0 {
		return s.WaitingBytes - float64(s.VoucherSize)
	}
	return s.WaitingBytes
}

func deliveredBytes(s sample) float64 { return s.DeliveredBytes }
