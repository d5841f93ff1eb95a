package ledger_test

import (
	"fmt"
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
	q.later(time.Hour)
	q.quiet()
	if found := q.pass("w", time.Minute); found.Needed != 0 {
		t.Errorf("passed %+v: what is over needs no task", found)
	}
}

// pass begins a round of the reconciler.
func (q *queue) pass(worker string, turn time.Duration) ledger.PassResult {
	q.t.Helper()
	found, err := q.Pass(q.ctx, q.account, worker, turn)
	q.must(err)
	return found
}

// An attempt that outlived its lease is found by each pass; what only waits is not looked at.
func TestPassLooksAtWhatIsBeingSent(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o, waits := q.open("order", "receipt"), q.open("another", "receipt")
	q.put(waits.ID, 1)
	q.started(o.ID, 1, "n1")
	if found := q.pass("w", time.Minute); !found.Lead || found.Needed != 2 || found.Tasks != 1 || len(found.Repairs) > 0 {
		t.Fatalf("passed %+v, want 2 uploads, 1 task, and nothing to repair", found)
	}
	q.later(lease + q.set.Grace)
	if found := q.pass("w", time.Minute); len(found.Repairs) != 1 || found.Repairs[0].ID != o.ID {
		t.Fatalf("passed %+v, want a task for what its worker has left", found)
	}
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
	q.quiet()
	q.flush()
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
	q.quiet()
	if found := q.pass("w", time.Minute); found.Needed != n || found.Tasks != n {
		t.Fatalf("passed %+v, want %d tasks for as many uploads", found, n)
	}
}

func TestLead(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	lead := func(worker string, turn time.Duration) bool { return b.pass(worker, turn).Lead }
	if !lead("a", time.Hour) || lead("b", time.Hour) || !lead("a", time.Millisecond) {
		t.Fatal("want the first to lead, and to go on")
	}
	b.eventually("another leads when the turn is over", func() bool { return lead("b", time.Hour) })
	if lead("a", time.Hour) {
		t.Fatal("two lead")
	}
}
