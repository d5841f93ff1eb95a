package main

import (
	"strings"
	"testing"
)

// measured gives a measurement of one number.
func measured(name string, round int, unit string, number float64) *sample {
	s := &sample{name: name, round: round, uploads: 10}
	s.add(unit, number)
	return s
}

func TestMedianAndRange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values []float64
		want   spread
	}{
		"none": {},
		"one":  {values: []float64{3}, want: spread{median: 3, least: 3, most: 3, count: 1}},
		"odd":  {values: []float64{9, 1, 2}, want: spread{median: 2, least: 1, most: 9, count: 3}},
		"even": {values: []float64{4, 1, 2, 9}, want: spread{median: 3, least: 1, most: 9, count: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r results
			for i, v := range c.values {
				r = append(r, measured("a/b=c", i, "x", v))
			}
			if got := r.of("a/b=c", "x"); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestCompareDividesWithinRounds(t *testing.T) {
	t.Parallel()
	// The machine was ten times slower in the second round, and the third was never measured for
	// one of them.
	r := results{
		measured("sizes/v=2/system=redis", 1, "n", 200), measured("sizes/v=2/system=naive", 1, "n", 100),
		measured("sizes/v=9/system=naive", 1, "n", 1), measured("sizes/v=2/system=redis", 2, "n", 20),
		measured("sizes/v=2/system=naive", 2, "n", 10), measured("sizes/v=2/system=redis", 3, "n", 1),
	}
	r.compare("sizes", "n", "system", "naive", "times")
	if got, want := r.of("sizes/v=2/system=redis", "times"), (spread{median: 2, least: 2, most: 2, count: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := r.of("sizes/v=2/system=naive", "times"); got.count != 0 {
		t.Errorf("a system was compared with itself: %+v", got)
	}
}

func TestCheckTakesTheWorst(t *testing.T) {
	t.Parallel()
	r := results{measured("s/v=1/k=a", 1, "n", 2), measured("s/v=2/k=a", 1, "n", 3), measured("s/v=1/k=b", 1, "n", 9)}
	for name, c := range map[string]struct {
		target target
		want   string
		worst  float64
	}{
		"enough":            {target{parts: "s/k=a", unit: "n", sign: "≥", bound: 2}, "met", 2},
		"too little":        {target{parts: "s/k=a", unit: "n", sign: "≥", bound: 2.5}, "not met", 2},
		"too much":          {target{parts: "s/k=a", unit: "n", sign: "≤", bound: 2.5}, "not met", 3},
		"of one alone":      {target{parts: "s/v=1/k=a", unit: "n", sign: "≤", bound: 2.5}, "met", 2},
		"without a bound":   {target{parts: "s/k=b", unit: "n"}, "", 9},
		"nothing":           {target{parts: "s/k=c", unit: "n", sign: "≥"}, "not measured", 0},
		"without that unit": {target{parts: "s/k=a", unit: "m", sign: "≤"}, "not measured", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if worst, met := r.check(c.target); met != c.want || worst.median != c.worst {
				t.Errorf("got %q by %v, want %q by %v", met, worst.median, c.want, c.worst)
			}
		})
	}
}

func TestDigits(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0.1234: "0.12", 12.34: "12.3", 999.4: "999", 1234.6: "1,235", -123456: "-123,456", 1_000_007: "1,000,007", 2: "2",
	} {
		if got := digits(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

func TestASampleIsALineOfGosBenchmarkFormat(t *testing.T) {
	t.Parallel()
	s := measured("sizes/voucher=2KB/system=redis", 1, "drained/s", 2500)
	if got, want := s.line(true), "BenchmarkSizes/voucher=2KB/system=redis\t10\t2500 drained/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if table := (results{s}).tables(); !strings.Contains(table, "| 2KB ") || !strings.Contains(table, " 2,500 ") {
		t.Errorf("not in the tables: %s", table)
	}
}
