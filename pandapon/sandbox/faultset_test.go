package sandbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// newSandbox is one without a network, and upload makes one call to it.
func newSandbox(cfg sandbox.Config, faults ...sandbox.Fault) *sandbox.Sandbox {
	cfg.Credentials = []pandapon.Credentials{account()}
	s := sandbox.New(cfg)
	s.SetFaults(faults...)
	return s
}

func upload(t *testing.T, s *sandbox.Sandbox, order string) int {
	t.Helper()
	return serve(t, s, headers(time.Now()), uploadBody(order, []byte("x"))).Code
}

func TestFaultStrikesSomeOnly(t *testing.T) {
	t.Parallel()
	s := newSandbox(sandbox.Config{},
		sandbox.Fault{Kind: sandbox.Gone, OrderID: "bad"},
		sandbox.Fault{Kind: sandbox.Throttle, UserID: "nobody"},
		sandbox.Fault{Kind: sandbox.Reset, UserID: "nobody", Before: true},
		sandbox.Fault{Kind: sandbox.Outage, UserID: userID, Times: 2},
		sandbox.Fault{Kind: sandbox.Refuse, OrderID: "bad"},
	)
	for i, c := range []struct {
		order string
		want  int
	}{{"bad", 410}, {"good", 503}, {"good", 503}, {"good", 200}, {"bad", 410}} {
		if got := upload(t, s, c.order); got != c.want {
			t.Errorf("call %d for %s: %d, want %d", i, c.order, got, c.want)
		}
	}
}

func TestFaultEndsAfterItsTime(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := newSandbox(sandbox.Config{Now: clock.Now}, sandbox.Fault{Kind: sandbox.Outage, For: sandbox.Duration(10 * time.Second)})
	for _, want := range []int{503, 503, 200} {
		if got := upload(t, s, orderID); got != want {
			t.Errorf("answer %d, want %d", got, want)
		}
		clock.Advance(5 * time.Second)
	}
}

func TestThrowsRepeatWithTheSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, probability float64) (pattern [200]bool, struck int) {
		s := newSandbox(sandbox.Config{Seed: seed}, sandbox.Fault{Kind: sandbox.Outage, Probability: probability})
		for i := range pattern {
			pattern[i] = upload(t, s, orderID) == http.StatusServiceUnavailable
			if pattern[i] {
				struck++
			}
		}
		return pattern, struck
	}
	first, struck := run(7, 0.3)
	if again, _ := run(7, 0.3); again != first {
		t.Error("the same seed gave another run")
	}
	if other, _ := run(8, 0.3); other == first {
		t.Error("another seed gave the same run")
	}
	if struck < 30 || struck > 90 {
		t.Errorf("%d of 200 struck at 0.3", struck)
	}
	for _, always := range []float64{0, 1} {
		if _, struck := run(7, always); struck != 200 {
			t.Errorf("%d of 200 struck at %v, want all", struck, always)
		}
	}
}

func TestSetFaultsReplacesAll(t *testing.T) {
	t.Parallel()
	s := newSandbox(sandbox.Config{}, sandbox.Fault{Kind: sandbox.Outage}, sandbox.Fault{Kind: sandbox.Gone})
	s.SetFaults(sandbox.Fault{Kind: sandbox.Unauthorized})
	if got := upload(t, s, orderID); got != http.StatusUnauthorized {
		t.Errorf("answer %d", got)
	}
	s.SetFaults()
	if got := upload(t, s, orderID); got != http.StatusOK {
		t.Errorf("answer %d after the faults were taken away", got)
	}
}

func TestSetFaultsPanicsOnAMistake(t *testing.T) {
	t.Parallel()
	s := newSandbox(sandbox.Config{})
	defer func() {
		if recover() == nil {
			t.Error("an unknown kind was taken")
		}
	}()
	s.SetFaults(sandbox.Fault{Kind: "flood"})
}
