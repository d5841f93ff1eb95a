package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// activity gives what was counted in the last steps, as one.
func (b *bundle) activity(step time.Duration, n int) ledger.Step {
	b.t.Helper()
	a, err := b.Activity(b.ctx, b.account, step, n)
	b.must(err)
	if len(a.Steps) != n || a.Now.Sub(a.Steps[n-1].At.Time) >= step || a.Now.Before(a.Steps[n-1].At.Time) {
		b.t.Fatalf("%d steps, the last from %v at %v", len(a.Steps), a.Steps[n-1].At, a.Now)
	}
	all := ledger.Step{Attempts: map[ledger.Outcome]int64{}}
	for _, s := range a.Steps {
		for o, m := range s.Attempts {
			if m != 0 {
				all.Attempts[o] += m
			}
		}
		all.Calls.Add(s.Calls)
		all.Watched, all.Backlog, all.Breaker = all.Watched || s.Watched, max(all.Backlog, s.Backlog), max(all.Breaker, s.Breaker)
	}
	return all
}

func timed(o ledger.AttemptResult, took time.Duration) ledger.AttemptResult {
	o.Duration = took
	return o
}

func TestActivityCountsAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	for i := range 19 {
		b.attempt(b.open(fmt.Sprint("order-", i), "receipt").ID, timed(delivered("r"), 100*time.Millisecond))
	}
	b.attempt(b.open("slow", "receipt").ID, timed(final(), 10*time.Second))
	b.attempt(b.open("away", "receipt").ID, timed(unavailable(), time.Millisecond))
	want := map[ledger.Outcome]int64{ledger.OutcomeDelivered: 19, ledger.OutcomeRefused: 1, ledger.OutcomeUnavailable: 1}
	for step, n := range map[time.Duration]int{time.Minute: 2, 15 * time.Minute: 2, 30 * time.Minute: 2, 2 * time.Hour: 84} {
		got := b.activity(step, n)
		if !maps.Equal(got.Attempts, want) {
			t.Errorf("steps of %v: %v, want %v", step, got.Attempts, want)
		}
		if p := got.Calls.Percentile(.5); p < 80*time.Millisecond || p > 125*time.Millisecond {
			t.Errorf("steps of %v: half took %v, want about 100 ms", step, p)
		}
		if p := got.Calls.Percentile(1); p < 8*time.Second || p > 13*time.Second {
			t.Errorf("steps of %v: all took %v, want about 10 s", step, p)
		}
	}
	// What happened keeps its time, whatever is done to the upload since.
	b.later(time.Hour)
	if got := b.activity(time.Minute, 50); len(got.Attempts) != 0 {
		t.Errorf("within 50 minutes %v, want nothing", got.Attempts)
	}
	if got := b.activity(15*time.Minute, 8); !maps.Equal(got.Attempts, want) {
		t.Errorf("within two hours %v, want %v", got.Attempts, want)
	}
	if d := (ledger.Step{}); d.Calls.Percentile(.95) != 0 {
		t.Error("no call took a time")
	}
}

// A late answer replaces the interruption that was counted, at its time.
func TestActivityOfALateAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	id := b.open("order", "receipt").ID
	run := b.started(id, 1, "cut off")
	b.later(2 * lease)
	b.attempt(id, unclear())
	if got := b.activity(15*time.Minute, 2); !maps.Equal(got.Attempts, map[ledger.Outcome]int64{ledger.OutcomeInterrupted: 1, ledger.OutcomeUnclear: 1}) {
		t.Fatalf("counted %v, want an interruption", got.Attempts)
	}
	b.later(time.Hour)
	want := map[ledger.Outcome]int64{ledger.OutcomeDelivered: 1, ledger.OutcomeUnclear: 1}
	for range 2 { // once, however often it is told
		b.finish(run, delivered("r"))
		if got := b.activity(15*time.Minute, 7); got.Attempts[ledger.OutcomeDelivered] != 1 {
			t.Errorf("counted %v, want %v", got.Attempts, want)
		}
	}
}

// What is recorded again after Redis lost it counts at its own time.
func TestActivityOfARecordedDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	u := b.open("order", "receipt")
	now, err := b.Now(b.ctx, b.account)
	b.must(err)
	a := ledger.Attempt{Number: 1, Generation: 1, Nonce: "n", Worker: "w", StartedAt: now, EndedAt: ledger.Time{Time: now.Add(-3 * time.Hour)}}
	_, err = b.RecordDelivery(b.ctx, u.ID, a)
	b.must(err)
	if got := b.activity(15*time.Minute, 10); len(got.Attempts) != 0 {
		t.Errorf("in the last hours %v", got.Attempts)
	}
	if got := b.activity(15*time.Minute, 14); got.Attempts[ledger.OutcomeDelivered] != 1 {
		t.Errorf("around its time %v, want one", got.Attempts)
	}
}

func TestActivityOfBacklogAndBreaker(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	if got := b.activity(time.Minute, 3); got.Watched {
		t.Errorf("nobody looked: %+v", got)
	}
	pass := func() {
		_, err := b.Pass(b.ctx, b.account, "w", time.Minute)
		b.must(err)
	}
	for i := range 3 {
		b.open(fmt.Sprint("order-", i/2), fmt.Sprint("receipt-", i)) // one of them waits for another
	}
	pass()
	for _, step := range []time.Duration{time.Minute, 15 * time.Minute} {
		if got := b.activity(step, 2); !got.Watched || got.Backlog != 3 || got.Breaker != "" {
			t.Errorf("seen %+v, want 3 and a closed breaker", got)
		}
	}
	b.later(time.Hour)
	b.must(b.Pause(b.ctx, b.account, "audit", "li-na", 0))
	pass()
	if got := b.activity(15*time.Minute, 2); got.Breaker != ledger.ReasonPaused {
		t.Errorf("seen %+v, want it paused", got)
	}
	b.must(b.Resume(b.ctx, b.account))
	b.later(time.Hour)
	pass()
	b.trip(5, unavailable())
	b.pass()
	b.probe(delivered("r"))
	pass()
	if got := b.activity(15*time.Minute, 3); got.Breaker != "outage" {
		t.Errorf("seen %+v, want that it was open", got)
	}
}

// Counts go by themselves, and lie in few small hashes.
func TestActivityExpires(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.attempt(b.open("order", "receipt").ID, delivered("r"))
	_, err := b.Pass(b.ctx, b.account, "w", time.Minute)
	b.must(err)
	hashes := slices.DeleteFunc(b.keys(), func(name string) bool { return name[:2] != "c:" })
	if len(hashes) == 0 || len(hashes) > 4 { // the clock may have moved on
		t.Fatalf("hashes %q", hashes)
	}
	for _, name := range hashes {
		want := 2 * time.Hour
		if name[:4] == "c:q:" {
			want = 8 * 24 * time.Hour
		}
		left, err := b.rdb.TTL(b.ctx, b.prefix()+name).Result()
		b.must(err)
		if left > want || left < want-time.Minute {
			t.Errorf("%s goes in %v, want %v", name, left, want)
		}
	}
}
