package plan_test

import (
	"cmp"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

func options(seed uint64, vouchers int) plan.Options {
	return plan.Options{Seed: seed, Vouchers: vouchers, Workers: 3, Accounts: []string{"a", "b"}}
}

func TestTheSameSeedGivesTheSamePlan(t *testing.T) {
	t.Parallel()
	first := plan.New(options(7, 2000))
	if !reflect.DeepEqual(first, plan.New(options(7, 2000))) {
		t.Error("two plans of one seed differ")
	}
	if reflect.DeepEqual(first, plan.New(options(8, 2000))) {
		t.Error("plans of two seeds are alike")
	}
}

func TestEveryPlanDoesEverything(t *testing.T) {
	t.Parallel()
	faults := []sandbox.FaultKind{
		sandbox.Outage, sandbox.Hang, sandbox.Slow, sandbox.Reset, sandbox.CutOff, sandbox.NotJSON, sandbox.Throttle,
		sandbox.Unauthorized, sandbox.Gone, sandbox.Refuse, sandbox.Status,
	}
	processes := []plan.Kind{plan.KillWorker, plan.StopWorker, plan.KillRedis, plan.PauseRedis, plan.FlushQueue}
	for seed := range uint64(50) {
		p := plan.New(options(seed, 400))
		for _, kind := range faults {
			if !slices.ContainsFunc(p.API, func(s plan.APIFault) bool { return s.Fault.Kind == kind }) {
				t.Errorf("seed %d: no %s", seed, kind)
			}
		}
		for _, kind := range processes {
			if !slices.ContainsFunc(p.Processes, func(b plan.ProcessFault) bool { return b.Kind == kind }) {
				t.Errorf("seed %d: no %s", seed, kind)
			}
		}
		frozen := func(f plan.ProcessFault) bool { return f.Kind == plan.FreezeWorker }
		if len(p.Freezes) == 0 || p.Freezes[0].For < 10*time.Second || slices.ContainsFunc(p.Processes, frozen) {
			t.Errorf("seed %d: freezes %v", seed, p.Freezes)
		}
		for _, f := range p.Processes {
			if f.Worker == p.Freezes[0].Worker {
				t.Errorf("seed %d: %v hits the worker that is frozen", seed, f)
			}
		}
		check(t, p, 400)
	}
}

// check holds a plan to its own words.
func check(t *testing.T, p plan.Plan, vouchers int) {
	t.Helper()
	for _, s := range p.API {
		if err := s.Fault.Validate(); err != nil || s.Fault.For <= 0 || s.At+time.Duration(s.Fault.For) > p.Outage.From {
			t.Errorf("API fault %+v: %v", s, err)
		}
	}
	if !slices.IsSortedFunc(p.Processes, func(a, b plan.ProcessFault) int { return int(a.At - b.At) }) {
		t.Errorf("process faults are not in order of time: %v", p.Processes)
	}
	n, until := 0, cmp.Or(p.Outage.Quiet, p.Length)
	for _, o := range p.Orders {
		last := time.Duration(0)
		for _, v := range o.Vouchers {
			if v.At < last || v.At > until || v.Again != 0 && v.Again < v.At || v.Again > until {
				t.Errorf("order %s: voucher at %v, again at %v", o.ID, v.At, v.Again)
			}
			last = v.At
			n++
		}
	}
	for i, f := range p.Freezes {
		if f.For <= 0 || f.For > 30*time.Second || i > 0 && f.At < p.Freezes[i-1].At+p.Freezes[i-1].For {
			t.Errorf("freezes overlap, or last too long: %v", p.Freezes)
		}
	}
	if n != vouchers || p.Length > 35*time.Second {
		t.Errorf("%d vouchers in %v", n, p.Length)
	}
}

func TestEveryFailoverHasItsTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		p := plan.NewFailovers(options(seed, 500))
		if len(p.Processes) < 3 {
			t.Errorf("seed %d: %d losses, want several", seed, len(p.Processes))
		}
		over := time.Duration(0)
		for _, b := range p.Processes {
			if b.Kind != plan.LoseWrites || b.For < 300*time.Millisecond || b.At < over {
				t.Errorf("seed %d: %v at %v, the one before ended at %v", seed, b, b.At, over)
			}
			over = b.At + b.For
		}
		check(t, p, 500)
	}
}

func TestEveryNetworkFailsInEveryWay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		p := plan.NewNetwork(options(seed, 300))
		for _, way := range append(p.Workers, p.Producers, p.API) {
			names, over := map[string]bool{}, time.Duration(0)
			for _, f := range way {
				if f.At < over || f.At+f.For > p.Length {
					t.Errorf("seed %d: %s at %v, the one before ended at %v", seed, f.Name, f.At, over)
				}
				names[f.Name], over = true, f.At+f.For
			}
			if len(names) != 7 || p.Length > 12*time.Second {
				t.Errorf("seed %d: %d faults in %v", seed, len(names), p.Length)
			}
		}
		check(t, plan.Plan{Orders: p.Orders, Length: p.Length}, 300)
	}
}

func TestVouchersDifferAndRepeat(t *testing.T) {
	t.Parallel()
	read := func(seed uint64, v plan.Voucher) string {
		b, err := io.ReadAll(v.Open(seed))
		if err != nil || len(b) != v.Size {
			t.Fatalf("%d bytes, want %d: %v", len(b), v.Size, err)
		}
		return string(b)
	}
	one, two := plan.Voucher{Number: 1, Size: 5000}, plan.Voucher{Number: 2, Size: 5000}
	if first, again := read(1, one), read(1, one); first != again {
		t.Error("a voucher's bytes do not repeat")
	}
	if read(1, one) == read(1, two) || read(1, one) == read(2, one) {
		t.Error("different vouchers have the same bytes")
	}
}
