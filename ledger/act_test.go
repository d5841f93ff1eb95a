package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// refusedFor asserts that a state did not allow what was asked.
func refusedFor(t *testing.T, err error, want ledger.State) {
	t.Helper()
	var e *ledger.StateError
	if !errors.As(err, &e) || e.State != want || !errors.Is(err, ledger.ErrNotAllowed) {
		t.Fatalf("error %v, want it refused because the upload is %s", err, want)
	}
}

func TestReopenTheDead(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ledger.AttemptResult{
		"rejected": next(refused(ledger.FaultRefusing), ledger.Rejected), "expired": next(unavailable(), ledger.Expired),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			up := b.open("order", "receipt")
			created := b.get(up.ID).CreatedAt
			b.attempt(up.ID, refused(ledger.FaultRefusing))
			b.attempt(up.ID, unavailable())
			b.attempt(up.ID, o)
			b.later(time.Hour)
			if task := b.reopen(up.ID); task != (ledger.Task{ID: up.ID, Generation: 2}) {
				t.Fatalf("reopened %+v, want generation 2", task)
			}
			u := b.get(up.ID)
			if u.State != ledger.Queued || u.Refusals != 0 || u.AttemptCount != 3 || u.ExpiresAt.Sub(u.CreatedAt.Time) < b.set.MaxAge+time.Hour {
				t.Fatalf("upload %+v, want it fresh, with its history", u)
			}
			if created.Sub(u.CreatedAt.Time) != time.Hour {
				t.Errorf("created at %v: a retry must not change it", u.CreatedAt)
			}
			run := b.started(up.ID, 2, "again")
			if run.Refusals != 0 || run.Unanswered != 0 || run.Age > time.Minute || run.StoreKey == "" {
				t.Errorf("running %+v, want a fresh budget and age", run)
			}
			b.finish(run, delivered("r"))
		})
	}
}

func TestReopenWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, after(refused(ledger.FaultRefusing), time.Hour))
	if task := b.reopen(o.ID); task != (ledger.Task{ID: o.ID, Generation: 2, Replaces: 1}) {
		t.Fatalf("reopened %+v, want generation 2 instead of 1", task)
	}
	b.stopped(o.ID, 1, "old", ledger.Stale)
	if run := b.started(o.ID, 2, "new"); run.Refusals != 1 {
		t.Fatalf("running %+v, want the budget as it was", run)
	}
}

// A queued upload whose task was lost gets another by hand, too.
func TestReopenQueued(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	head, behind := b.open("order", "1"), b.open("order", "2")
	if task := b.reopen(head.ID); task != (ledger.Task{ID: head.ID, Generation: 2, Replaces: 1}) {
		t.Fatalf("reopened %+v, want generation 2 instead of 1", task)
	}
	if task := b.reopen(behind.ID); task != (ledger.Task{ID: behind.ID}) {
		t.Fatalf("reopened %+v, want it to wait its turn", task)
	}
	if rec := b.attempt(head.ID, delivered("r")); rec.NextID != behind.ID {
		t.Fatalf("recorded %+v, want %s next", rec, behind.ID)
	}
}

func TestReopenRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	try := func() error { _, err := b.Reopen(b.ctx, o.ID, ledger.Who{}); return err }
	run := b.started(o.ID, 1, "n")
	refusedFor(t, try(), ledger.Sending)
	b.finish(run, delivered("r"))
	refusedFor(t, try(), ledger.Delivered)
	d := b.open("order", "another")
	b.discard(d.ID)
	_, err := b.Reopen(b.ctx, d.ID, ledger.Who{})
	refusedFor(t, err, ledger.Discarded)
	for _, id := range []string{"nonsense", ledger.UploadID(b.account, "", "x", hash("x"))} {
		if _, err := b.Reopen(b.ctx, id, ledger.Who{}); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("reopen %s: %v, want ErrNotFound", id, err)
		}
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*bundle, string){
		"queued":   func(*bundle, string) {},
		"waiting":  func(b *bundle, id string) { b.attempt(id, unavailable()) },
		"rejected": func(b *bundle, id string) { b.attempt(id, final()) },
		"expired":  func(b *bundle, id string) { b.attempt(id, next(unclear(), ledger.Expired)) },
		"cut off":  func(b *bundle, id string) { b.started(id, 1, "n"); b.later(lease) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			head, behind := b.open("order", "1"), b.open("order", "2")
			end(b, head.ID)
			task, worthless := b.discard(head.ID)
			if task != (ledger.Task{ID: behind.ID, Generation: 1}) || worthless != 1 {
				t.Fatalf("discarded: next %+v, worthless %d", task, worthless)
			}
			if again, _ := b.discard(head.ID); again != task {
				t.Errorf("discarded again: next %+v, want %+v: the reply to the first call may be lost", again, task)
			}
			u := b.get(head.ID)
			if u.State != ledger.Discarded || !u.ExpiresAt.IsZero() || !u.NextAttempt.IsZero() {
				t.Errorf("upload %+v, want it discarded", u)
			}
			for _, a := range u.Attempts {
				if a.Outcome == "" {
					t.Errorf("attempt %+v of a discarded upload has no end", a)
				}
			}
			b.stopped(head.ID, 1, "m", ledger.Stale)
			b.started(behind.ID, 1, "m")
		})
	}
}

func TestDiscardInOrderQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	head, middle, last := b.open("order", "1"), b.open("order", "2"), b.open("order", "3")
	run := b.started(head.ID, 1, "n")
	task, worthless := b.discard(middle.ID)
	if task.ID != head.ID || worthless != 0 {
		t.Fatalf("discarded: next %+v, worthless %d, want the head to stay it", task, worthless)
	}
	if rec := b.finish(run, delivered("r")); rec.NextID != last.ID {
		t.Fatalf("recorded %+v, want %s next", rec, last.ID)
	}
}

func TestDiscardRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	run := b.started(o.ID, 1, "n")
	_, _, err := b.Discard(b.ctx, o.ID, ledger.Who{})
	refusedFor(t, err, ledger.Sending)
	b.finish(run, delivered("r"))
	_, _, err = b.Discard(b.ctx, o.ID, ledger.Who{})
	refusedFor(t, err, ledger.Delivered)
	for _, id := range []string{"nonsense", ledger.UploadID(b.account, "", "x", hash("x"))} {
		if _, _, err := b.Discard(b.ctx, id, ledger.Who{}); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("discard %s: %v, want ErrNotFound", id, err)
		}
	}
}
