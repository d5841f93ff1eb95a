//go:build !mutant

package simulation

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// What a build whose Begin is broken on purpose fails too stands here; what has to catch it does not.

// TestNothingFailsBecauseRedisWasAway holds that uploads which waited for Redis need one attempt: a
// worker that was silent, and may have been taken for dead meanwhile, begins nothing before it has
// beaten again.
func TestNothingFailsBecauseRedisWasAway(t *testing.T) {
	t.Parallel()
	s := story{seed: 1, long: time.Hour, events: []event{{at: 10 * time.Minute, what: redisAway, long: 5 * time.Minute}}}
	for i := range 20 {
		s.orders = append(s.orders, order{at: 10*time.Minute + time.Duration(i+1)*time.Second, vouchers: []voucher{{}}})
	}
	w, f := run(t, s)
	w.report(t, f)
	for id, u := range f.uploads {
		if len(u.Attempts) != 1 {
			t.Errorf("%s: %+v", id, u.Attempts)
		}
	}
}

// TestDeathsWhileRedisClockIsWrong holds that the audit finds the death by which an attempt was
// interrupted though the ledger's times are minutes off.
func TestDeathsWhileRedisClockIsWrong(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]int{"behind": 0, "ahead": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := story{seed: 1, long: time.Hour, events: []event{
				{at: 5 * time.Minute, what: redisStep, long: 8 * time.Minute, mode: mode},
				{at: 40 * time.Minute, what: death, long: 5 * time.Minute, mode: 1}, // as its call arrives
			}}
			for range 20 { // at once: more than one worker takes
				s.orders = append(s.orders, order{at: 41 * time.Minute, vouchers: []voucher{{}}})
			}
			w, f := run(t, s)
			w.report(t, f)
			if f.outcomes[ledger.OutcomeInterrupted] == 0 {
				t.Errorf("no attempt was interrupted: %v", f.outcomes)
			}
		})
	}
}

// TestProbesOfCutOffWorkers holds that the audit lets another worker probe when the one whose probe is
// under way is cut off from Redis: its turn ends with its lease.
func TestProbesOfCutOffWorkers(t *testing.T) {
	t.Parallel()
	s := story{seed: 1, long: 5 * time.Hour, spells: []spell{{
		kind: outage, from: 10 * time.Minute, to: 4 * time.Hour, faults: []sandbox.Fault{{Kind: sandbox.Hang, Before: true}},
	}}}
	for i := range 20 {
		s.orders = append(s.orders, order{at: 10*time.Minute + time.Duration(i)*time.Second, vouchers: []voucher{{}}})
		s.events = append(s.events, event{
			at: 40*time.Minute + time.Duration(i)*571*time.Second, what: partition, slot: i % workers, long: 4 * time.Minute,
		})
	}
	w, f := run(t, s)
	w.report(t, f)
}

// TestSomeDays plays a short story: of two days, or of one under the race detector, which takes its
// time.
func TestSomeDays(t *testing.T) {
	t.Parallel()
	long := 2
	if built("-race=true") {
		long = 1
	}
	simulate(t, draw(*seed, long))
}
