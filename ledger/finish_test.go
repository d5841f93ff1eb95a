package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestFinishMovesTheUpload(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		outcome    ledger.AttemptResult
		state      ledger.State
		refusals   int
		unanswered int
	}{
		"delivered":            {delivered("r"), ledger.Delivered, 0, 0},
		"unavailable":          {unavailable(), ledger.Waiting, 0, 1},
		"unclear":              {unclear(), ledger.Waiting, 0, 1},
		"throttled":            {throttled(0), ledger.Waiting, 0, 0},
		"refused":              {refused(ledger.FaultRefusing), ledger.Waiting, 1, 0},
		"refused, credentials": {refused(ledger.FaultCredentials), ledger.Waiting, 1, 0},
		"refused, endpoint":    {refused(ledger.FaultEndpoint), ledger.Waiting, 1, 0},
		"refused, budget":      {next(refused(ledger.FaultRefusing), ledger.Rejected), ledger.Rejected, 1, 0},
		"refused for good":     {final(), ledger.Rejected, 1, 0},
		"invalid":              {invalid(), ledger.Rejected, 0, 0},
		"too old":              {next(unclear(), ledger.Expired), ledger.Expired, 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			o := b.open("order", "receipt")
			run := b.started(o.ID, 1, "n1")
			rec := b.finish(run, c.outcome)
			if rec.How != "recorded" || rec.State != c.state {
				t.Fatalf("recorded %+v, want state %s", rec, c.state)
			}
			u := b.get(o.ID)
			if u.State != c.state || u.Refusals != c.refusals || u.Outcome != c.outcome.Outcome {
				t.Errorf("upload %+v, want state %s and %d refusals", u, c.state, c.refusals)
			}
			if u.DeliveredAt.IsZero() == (c.state == ledger.Delivered) || u.ExpiresAt.IsZero() != c.state.Final() {
				t.Errorf("delivered at %v, expires at %v in state %s", u.DeliveredAt, u.ExpiresAt, c.state)
			}
			if c.state.Final() {
				return
			}
			b.later(time.Minute)
			if run := b.started(o.ID, 1, "n2"); run.Refusals != c.refusals || run.Unanswered != c.unanswered {
				t.Errorf("running %+v, want %d refusals, %d unanswered", run, c.refusals, c.unanswered)
			}
		})
	}
}

func TestFinishCountsTheSchedules(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, unavailable())
	b.attempt(o.ID, unclear())
	run := b.started(o.ID, 1, "n3")
	if run.Unanswered != 2 {
		t.Fatalf("unanswered %d, want 2", run.Unanswered)
	}
	b.finish(run, refused(ledger.FaultRefusing))
	run = b.started(o.ID, 1, "n4")
	if run.Unanswered != 0 || run.Refusals != 1 {
		t.Fatalf("running %+v: an answer begins the short schedule anew", run)
	}
	rec := b.finish(run, after(unavailable(), time.Hour))
	if rec.Wait <= 59*time.Minute || rec.Wait > time.Hour {
		t.Fatalf("wait %v, want about an hour", rec.Wait)
	}
	if u := b.get(o.ID); u.NextAttempt.Sub(u.UpdatedAt.Time) != time.Hour {
		t.Fatalf("next attempt at %v, updated at %v", u.NextAttempt, u.UpdatedAt)
	}
}

func TestFinishKeepsWhatTheAPISaid(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	run := b.started(o.ID, 1, "n1")
	b.finish(run, ledger.AttemptResult{
		Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: "4711", RequestID: "req", DevelopID: "dev", Msg: "a\tb\nc",
		Error: strings.Repeat("e", 400), Duration: 1500 * time.Millisecond, Next: ledger.Waiting,
	})
	got := b.get(o.ID).Attempts[0]
	if len(got.Error) > 310 {
		t.Errorf("an error of %d bytes was kept", len(got.Error))
	}
	got.Error, got.EndedAt, got.StartedAt = "", ledger.Time{}, ledger.Time{}
	want := ledger.Attempt{
		Number: 1, Generation: 1, Nonce: "n1", Worker: "w", DurationMS: 1500, Outcome: ledger.OutcomeRefused, HTTPStatus: 200,
		Code: "4711", RequestID: "req", DevelopID: "dev", Msg: "a b c",
	}
	if got != want {
		t.Errorf("attempt %+v, want %+v", got, want)
	}
}

func TestFinishRepeated(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ledger.AttemptResult{
		"delivered": delivered("r"), "refused": refused(ledger.FaultRefusing), "unavailable": after(unavailable(), time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			up, behind := b.open("order", "1"), b.open("order", "2")
			run := b.started(up.ID, 1, "n1")
			first := b.finish(run, o)
			before := b.get(up.ID)
			again := b.finish(run, o)
			if again.How != "repeated" || again.State != first.State || again.NextID != first.NextID || again.NextGen != first.NextGen {
				t.Errorf("repeated: %+v, want what the first call gave: %+v", again, first)
			}
			if (again.Wait - first.Wait).Abs() > 10*time.Second {
				t.Errorf("repeated: wait %v, want about %v", again.Wait, first.Wait)
			}
			if u := b.get(up.ID); u.Refusals != before.Refusals || u.State != before.State || u.UpdatedAt != before.UpdatedAt {
				t.Errorf("upload %+v, want it as it was: %+v", u, before)
			}
			if o.Next == ledger.Delivered && first.NextID != behind.ID {
				t.Errorf("next %q, want %q", first.NextID, behind.ID)
			}
		})
	}
}

func TestFinishUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	gone := ledger.Running{ID: ledger.UploadID(b.account, "", "order", hash("x")), Number: 1, Nonce: "n"}
	if _, err := b.Finish(b.ctx, gone, delivered("r")); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("unknown upload: %v, want ErrNotFound", err)
	}
	gone.ID = "nonsense"
	if _, err := b.Finish(b.ctx, gone, delivered("r")); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("no id: %v, want ErrNotFound", err)
	}
	if keys := b.keys(); len(keys) > 0 {
		t.Errorf("left behind: %v", keys)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	run := b.started(o.ID, 1, "n1")
	for range 2 { // its reply may be lost
		b.must(b.Release(b.ctx, run, ""))
		if u := b.get(o.ID); u.State != ledger.Queued || u.AttemptCount != 0 || len(u.Attempts) != 0 {
			t.Fatalf("upload %+v, want it as if it had never begun", u)
		}
	}
	b.attempt(o.ID, after(unavailable(), time.Hour))
	b.later(time.Hour)
	run = b.started(o.ID, 1, "n2")
	b.must(b.Release(b.ctx, run, ""))
	if u := b.get(o.ID); u.State != ledger.Waiting || u.AttemptCount != 1 {
		t.Fatalf("upload %+v, want it waiting again", u)
	}
	if g := b.breaker(); g.Reason != "" {
		t.Fatalf("breaker %+v, want it open", g)
	}
	b.attempt(o.ID, delivered("r"))
}

func TestReleaseOfAnotherAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	old := b.started(o.ID, 1, "n1")
	b.later(lease)
	b.started(o.ID, 1, "n2")
	b.must(b.Release(b.ctx, old, ""))
	if u := b.get(o.ID); u.State != ledger.Sending || u.AttemptCount != 2 || len(u.Attempts) != 2 {
		t.Fatalf("upload %+v, want its second attempt under way", u)
	}
	if err := b.Release(b.ctx, ledger.Running{ID: "nonsense"}, ""); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("release of no id: %v, want ErrNotFound", err)
	}
}
