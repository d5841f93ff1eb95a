package main_test

import (
	"context"
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
	calls, found := b.box.Requests(), 0
	for i, first := range calls {
		n := 0
		for n < len(calls)-i && calls[i+n].At.Sub(first.At) < time.Second {
			n++
		}
		found = max(found, n)
	}
	t.Logf("%d calls in %v, at most %d in a second", len(calls), calls[len(calls)-1].At.Sub(calls[0].At), found)
	if found > most+3 { // on a busy machine calls leave late, and meet the next
		t.Errorf("%d calls in a second, want at most %d", found, most)
	}
	if out := b.must(0, "accounts", b.account).stdout; !strings.Contains(out, "at most 20/s") {
		t.Errorf("the rate is not shown:\n%s", out)
	}
}
