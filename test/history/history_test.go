// Package history_test lets several clients call the ledger at the same time, on a real Redis and
// over connections that get cut, and checks that what they were told fits one order of all calls: that
// the histories are linearizable, against a small model of one order's uploads.
package history_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/voucherd/voucherd/test/redistest"
)

//nolint:gochecknoglobals // flags of a test binary are
var (
	histories = flag.Int("histories", 400, "histories to make and check")
	seed      = flag.Uint64("seed", 0, "what clients do; 0: another each time")
	artefacts = flag.String("artefacts", "../../artefacts", "takes pictures of what went wrong")
	picture   = flag.String("picture", "", "file that gets a picture of one history")
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, in, out any) (bool, any) {
			return step(s.(state), in.(call), out.(answer)) //nolint:forcetypeassert,errcheck // they are ours
		},
		DescribeOperation: func(in, out any) string { return describe(in.(call), out.(answer)) }, //nolint:forcetypeassert,errcheck // likewise
	}
}

// checkLimit is more than a check takes: thousands of histories take milliseconds each.
const checkLimit = time.Minute

func linearizable(t *testing.T, h history) bool {
	t.Helper()
	r := porcupine.CheckOperationsTimeout(model(), h.operations(), checkLimit)
	if r == porcupine.Unknown {
		t.Errorf("a history of %d calls was not checked within %v", len(h), checkLimit)
	}
	return r != porcupine.Illegal
}

// figures are what all histories together were.
type figures struct{ histories, calls, overlapping, lost, takenOver, late, repeated, slowest atomic.Int64 }

// checked notes how long a check took.
func (f *figures) checked(d time.Duration) {
	for was := f.slowest.Load(); int64(d) > was; was = f.slowest.Load() {
		f.slowest.CompareAndSwap(was, int64(d))
	}
}

func (f *figures) add(h history) {
	f.histories.Add(1)
	for _, r := range h {
		f.calls.Add(1)
		if slices.ContainsFunc(h, func(o record) bool {
			return r.done != never && o.done != never && o.client != r.client && o.began <= r.done && r.began <= o.done
		}) {
			f.overlapping.Add(1)
		}
		switch {
		case r.out.unknown:
			f.lost.Add(1)
		case r.out.interruptedLast, r.in.kind == recovery && r.out.what != "":
			f.takenOver.Add(1)
		case r.out.what == "late":
			f.late.Add(1)
		case r.out.what == "repeated":
			f.repeated.Add(1)
		}
	}
}

func (f *figures) String() string {
	return fmt.Sprintf("%d histories, %d calls: %d at the same time as another's, %d without an answer, %d attempts taken over, "+
		"%d outcomes late, %d repeated; the slowest check took %v", f.histories.Load(), f.calls.Load(), f.overlapping.Load(), f.lost.Load(), f.takenOver.Load(),
		f.late.Load(), f.repeated.Load(), time.Duration(f.slowest.Load()).Round(time.Millisecond))
}

func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	const groups = 4 // of clients, each with histories of its own
	var f figures
	var bad atomic.Pointer[history]
	var shown example
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for g := range groups {
		wg.Go(func() {
			sessions := newSessions(t, sizeOf(3).clients)
			for n := int(next.Add(1)) - 1; n < *histories && bad.Load() == nil; n = int(next.Add(1)) - 1 {
				h := play(t, sessions, fmt.Sprint("h", g, "-", n), *seed+uint64(n), sizeOf(n)) //nolint:gosec // it counts up
				f.add(h)
				if *picture != "" {
					shown.offer(t, h)
				}
				checking := time.Now()
				good := linearizable(t, h)
				f.checked(time.Since(checking))
				if !good {
					bad.CompareAndSwap(nil, &h)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%s, in %v", &f, time.Since(began).Round(time.Millisecond))
	if h := bad.Load(); h != nil {
		report(t, smallest(t, *h))
	} else if *picture != "" {
		shown.draw(t, *picture)
	}
}

// smallest gives the smallest counter-example that can be found fast.
func smallest(t *testing.T, h history) history {
	t.Helper()
	const tries = 300
	h = shrink(t, h)
	sessions := newSessions(t, sizeOf(0).clients)
	for n := range tries {
		small := play(t, sessions, fmt.Sprint("small-", n), *seed+uint64(n), size{clients: sizeOf(0).clients, calls: 3 + n%4, uploads: 1})
		if linearizable(t, small) {
			continue
		}
		if small = shrink(t, small); len(small) < len(h) {
			h = small
		}
	}
	return h
}

// TestABrokenScriptIsCaught builds this test with a Begin that does not look at leases.
func TestABrokenScriptIsCaught(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-tags=mutant", "-run=^TestHistoriesAreLinearizable$",
		".", "-artefacts="+dir)
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "not linearizable") {
		t.Fatalf("a Begin that lets two attempts run at once was not caught: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "history.html")); err != nil {
		t.Errorf("no picture of it: %v", err)
	}
	t.Logf("%s", out)
}
