package main

import (
	"io"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--quick", "--sizes", "2K,1M,7", "--scenarios", "sizes,backlog"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.sizes, []int{2048, 1 << 20, 7}) || !slices.Equal(o.scenarios, []string{scenarioSizes, scenarioBacklog}) {
		t.Errorf("got %+v", o)
	}
	if o.rounds != 2 || o.time != quickTime {
		t.Errorf("got %d rounds in %v, want what is usual for a quick run", o.rounds, o.time)
	}
	for _, wrong := range [][]string{
		{"--sizes", "2G"}, {"--scenarios", "everything"}, {"--rounds", "-1"}, {"quick"}, {"--sizes", "0"},
	} {
		if _, err := parse(wrong, io.Discard); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}
