package ledger_test

import (
	"fmt"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

func (b *bundle) replace(order, content string) ledger.Opened {
	b.t.Helper()
	n := b.upload(order, content)
	n.Replace = true
	return b.openAs(n)
}

func TestOrderQueueGoesInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	var ids []string
	for i := range 4 {
		o := b.open("order", fmt.Sprint("receipt ", i))
		if head := i == 0; head != (o.Generation == 1) {
			t.Fatalf("upload %d: generation %d", i, o.Generation)
		}
		ids = append(ids, o.ID)
	}
	for i, id := range ids {
		for _, behind := range ids[i+1:] {
			b.stopped(behind, b.get(behind).Generation, "n", ledger.Stale)
		}
		rec := b.attempt(id, delivered(id))
		want := ""
		if i+1 < len(ids) {
			want = ids[i+1]
		}
		if rec.NextID != want || (want != "" && rec.NextGen != 1) {
			t.Fatalf("after upload %d: next %q generation %d, want %q", i, rec.NextID, rec.NextGen, want)
		}
	}
}

func TestOrderQueueWaitsForAWaitingHead(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	head, second := b.open("order", "1"), b.open("order", "2")
	if rec := b.attempt(head.ID, unavailable()); rec.NextID != "" {
		t.Fatalf("a waiting head names %s as next", rec.NextID)
	}
	if h := b.stopped(second.ID, 0, "n", ledger.Stale); h.Reason != "order queue" && h.Reason != "generation" {
		t.Fatalf("second in line is stale for %q", h.Reason)
	}
	if rec := b.attempt(head.ID, final()); rec.NextID != second.ID || rec.NextGen != 1 {
		t.Fatalf("a rejected head: %+v, want %s next", rec, second.ID)
	}
}

func TestOrderQueuesOfOrdersAndAccountsAreTheirOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	other := newBundle(t, b.rdb, ledger.Settings{})
	for _, o := range []ledger.Opened{b.open("order", "1"), b.open("order-2", "1"), other.open("order", "1")} {
		if o.Generation != 1 {
			t.Errorf("opened %+v, want it to be a head", o)
		}
	}
}

func TestOrderQueueOfAReopenedUpload(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first, second := b.open("order", "1"), b.open("order", "2")
	b.attempt(first.ID, final())
	if task := b.reopen(first.ID); task.Generation != 0 {
		t.Fatalf("reopened %+v, want it to waits in its order queue", task)
	}
	rec := b.attempt(second.ID, delivered("r2"))
	if rec.NextID != first.ID || rec.NextGen != 2 {
		t.Fatalf("next %+v, want %s with generation 2", rec, first.ID)
	}
	b.attempt(first.ID, delivered("r1"))
}

func TestReplace(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	wrong, wrong2, other := b.open("order", "wrong"), b.open("order", "wrong 2"), b.open("order-2", "other")
	right := b.replace("order", "right")
	if right.Duplicate || right.Generation != 1 {
		t.Fatalf("opened %+v, want the head", right)
	}
	b.state(wrong.ID, ledger.Discarded)
	b.state(wrong2.ID, ledger.Discarded)
	b.state(other.ID, ledger.Queued)
	if h := b.stopped(wrong.ID, 1, "n", ledger.Stale); h.Reason != "discarded" {
		t.Errorf("the replaced head is stale for %q", h.Reason)
	}
	ks, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	if len(ks) != 2 {
		t.Errorf("vouchers that leave: %v, want the two that were replaced", ks)
	}
}

func TestReplaceSparesWhatWasSent(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	sent, reopened, queued := b.open("order", "1"), b.open("order", "2"), b.open("order", "3")
	b.attempt(sent.ID, final())
	b.attempt(reopened.ID, unavailable())
	b.reopen(sent.ID)
	right := b.replace("order", "right")
	if right.Generation != 0 {
		t.Errorf("opened %+v, want it to waits in its order queue", right)
	}
	b.state(queued.ID, ledger.Discarded)
	b.state(sent.ID, ledger.Queued)
	b.state(reopened.ID, ledger.Waiting)
	running := b.started(reopened.ID, 1, "running")
	b.replace("order", "right 2")
	b.state(reopened.ID, ledger.Sending)
	b.state(right.ID, ledger.Discarded)
	b.finish(running, delivered("r"))
}

func TestReplaceByADuplicate(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	wrong := b.open("order", "wrong")
	b.open("order", "right")
	n := b.upload("order", "right")
	n.StoreKey, n.Replace = "second copy", true
	if o := b.openAs(n); !o.Duplicate || o.Generation != 1 {
		t.Fatalf("opened %+v, want the duplicate to be the head now", o)
	}
	b.state(wrong.ID, ledger.Discarded)
}

// What has ended will not be sent, so it replaces nothing: the order would be left with no voucher
// under way.
func TestReplaceByWhatHasEnded(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	dead := b.open("order", "dead")
	b.attempt(dead.ID, final())
	waiting := b.open("order", "good")
	n := b.upload("order", "dead")
	n.StoreKey, n.Replace = "second copy", true
	if o := b.openAs(n); !o.Duplicate {
		t.Fatalf("opened %+v, want a duplicate", o)
	}
	b.state(waiting.ID, ledger.Queued)
	n.Again = true
	if o := b.openAs(n); !o.Revived || o.Generation == 0 {
		t.Fatalf("opened %+v, want it revived as the head", o)
	}
	b.state(waiting.ID, ledger.Discarded)
}

// A call whose reply was lost is made again; by then another voucher may have replaced its own.
func TestReplaceLostReply(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.replace("order", "first")
	second := b.replace("order", "second")
	b.replace("order", "first")
	b.state(second.ID, ledger.Queued)
}
