package main_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// TestRateHoldsOverAllWorkers has four workers, processes all, deliver a backlog at 20 calls a
// second.
func TestRateHoldsOverAllWorkers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_RATE=20/s")
	const uploads, most = 120, 22
	for n := range uploads {
		order, file := b.picture(n)
		b.must(0, "enqueue", "--order", order, file)
	}
	for range 4 {
		b.process("worker")
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := b.box.Wait(ctx, func(r []sandbox.Request) bool { return len(r) >= uploads }); err != nil {
		t.Fatal(err)
	}
	var began []time.Time // by Redis' clock: on a busy machine calls leave late, and meet the next
	for line := range strings.Lines(b.must(0, "export").stdout) {
		for _, a := range upload(t, line).Attempts {
			began = append(began, a.StartedAt.Time)
		}
	}
	slices.SortFunc(began, time.Time.Compare)
	found := 0
	for i, first := range began {
		n := 0
		for n < len(began)-i && began[i+n].Sub(first) < time.Second {
			n++
		}
		found = max(found, n)
	}
	took := began[len(began)-1].Sub(began[0])
	t.Logf("%d attempts in %v, at most %d began in a second", len(began), took, found)
	if len(began) < uploads || found > most {
		t.Errorf("%d of %d attempts began in a second, want at most %d", found, len(began), most)
	}
	if least := (uploads - most) * time.Second / 20; took < least {
		t.Errorf("the attempts took %v, want at least %v", took, least)
	}
	if out := b.must(0, "accounts", b.account).stdout; !strings.Contains(out, "at most 20/s") {
		t.Errorf("the rate is not shown:\n%s", out)
	}
}
