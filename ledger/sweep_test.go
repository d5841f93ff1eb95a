package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestDueNextInOrderQueueAfterACrash(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	head, next := q.open("order", "1"), q.open("order", "2")
	q.attempt(head.ID, delivered("r")) // and its worker dies before it puts the next one's task
	q.later(q.set.Grace)
	q.repairs(next.ID, 2)
}

func TestDueAfterAWorkerDied(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o := q.open("order", "receipt")
	q.started(o.ID, 1, "n1")
	q.later(lease - time.Second)
	q.quiet()
	q.later(time.Second + q.set.Grace)
	q.repairs(o.ID, 2)
	if run := q.started(o.ID, 2, "n2"); !run.Interrupted {
		t.Fatalf("running %+v, want the attempt before it cut off", run)
	}
}

func TestDueForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	for i, o := range []ledger.AttemptResult{delivered("r"), final(), next(unclear(), ledger.Expired)} {
		q.attempt(q.open(fmt.Sprint("order-", i), "receipt").ID, o)
	}
	q.discard(q.open("order", "receipt").ID)
	if keys := q.keys(); slices.Contains(keys, "look") {
		t.Errorf("keys %v: what is over is still looked at", keys)
	}
	q.later(q.set.LongLook)
	q.quiet()
}

func TestSweepAfterAFlush(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	const n = 700 // more than a page
	for i := range n {
		o := q.open(fmt.Sprint("order-", i), "receipt")
		q.put(o.ID, 1)
	}
	q.later(q.set.Grace)
	for full := true; full; {
		found, err := q.Due(q.ctx, q.account)
		q.must(err)
		if len(found.Repairs) > 0 || found.Needed != n || found.Tasks != n {
			t.Fatalf("looked %+v, want %d tasks for as many uploads", found, n)
		}
		full = found.Full
	}
	q.flush()
	q.quiet() // none is due to be looked at
	seen := map[string]bool{}
	for cursor := ""; ; {
		found, err := q.Sweep(q.ctx, q.account, cursor, 500)
		q.must(err)
		for _, r := range found.Repairs {
			if r.Generation != 2 || seen[r.ID] {
				t.Fatalf("repair %+v, want generation 2 once", r)
			}
			seen[r.ID] = true
			q.put(r.ID, r.Generation)
		}
		if cursor = found.Cursor; cursor == ledger.SweepRecords {
			break
		}
	}
	if len(seen) != n {
		t.Fatalf("swept %d of %d", len(seen), n)
	}
	found, err := q.Sweep(q.ctx, q.account, "", 500)
	q.must(err)
	if len(found.Repairs) > 0 || found.Tasks != n {
		t.Fatalf("swept again: %+v, want nothing to repair", found)
	}
}

func TestLead(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	lead := func(worker string, turn time.Duration) bool {
		got, err := b.Lead(b.ctx, b.account, worker, turn)
		b.must(err)
		return got
	}
	if !lead("a", time.Hour) || lead("b", time.Hour) || !lead("a", time.Millisecond) {
		t.Fatal("want the first to lead, and to go on")
	}
	b.eventually("another leads when the turn is over", func() bool { return lead("b", time.Hour) })
	if lead("a", time.Hour) {
		t.Fatal("two lead")
	}
}
