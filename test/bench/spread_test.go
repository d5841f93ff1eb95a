package main

import "testing"

func TestSpreadOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values []float64
		want   spread
	}{
		"none": {},
		"one":  {values: []float64{3}, want: spread{Median: 3, Min: 3, Max: 3}},
		"odd":  {values: []float64{9, 1, 2}, want: spread{Median: 2, Min: 1, Max: 9}},
		"even": {values: []float64{4, 1, 2, 9}, want: spread{Median: 3, Min: 1, Max: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := spreadOf(c.values); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestRatioComparesWithinRounds(t *testing.T) {
	t.Parallel()
	of := func(name string, perSecond ...float64) group {
		g := group{first: sample{System: name}}
		for i, v := range perSecond {
			g.samples = append(g.samples, sample{System: name, Round: i + 1, Drain: phase{PerSecond: v}})
		}
		return g
	}
	// The machine was ten times slower in the second round, and the third was never measured for
	// one of them.
	got := ratio(of("a", 200, 20, 1), of("b", 100, 10), drainRate)
	if want := (spread{Median: 2, Min: 2, Max: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	high, low := spread{Median: 2, Min: 1, Max: 3}, spread{Median: 1, Min: 1, Max: 1}
	for name, c := range map[string]struct {
		s       spread
		atLeast bool
		want    string
	}{
		"enough":       {s: high, atLeast: true, want: "met"},
		"too little":   {s: low, atLeast: true, want: "not met"},
		"too much":     {s: high, want: "not met"},
		"small enough": {s: low, want: "met"},
		"nothing":      {atLeast: true, want: "not measured"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := check(1, "it", c.s, 1.5, c.atLeast, ""); got.Met != c.want {
				t.Errorf("got %q, want %q", got.Met, c.want)
			}
		})
	}
}

func TestDigits(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0.1234: "0.12", 12.34: "12.3", 999.4: "999", 1234.6: "1,235", -123456: "-123,456", 1_000_007: "1,000,007"} {
		if got := digits(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
