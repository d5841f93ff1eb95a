package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2" //nolint:depguard // the demo runs the ledger on it
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
)

// setupDemo is setup with the Redis of the demo.
func setupDemo(t *testing.T) *bundle {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	return newBundle(t, rdb, ledger.Settings{})
}

// The demo's Redis is another program with another Lua: every script must mean the same there.
func TestDemoRedis(t *testing.T) {
	t.Parallel()
	b := setupDemo(t)
	b.must(b.BindStore(b.ctx, b.account, "store"))
	first, second := b.open("order", "1"), b.open("order", "2")
	if first.Generation != 1 || second.Generation != 0 {
		t.Fatalf("opened %+v and %+v", first, second)
	}
	b.stopped(second.ID, 0, "n", ledger.Stale)
	run := b.started(first.ID, 1, "cut off")
	if now := time.Now(); run.StartedAt.Before(now.Add(-time.Minute)) || run.StartedAt.After(now.Add(time.Minute)) {
		t.Fatalf("running %+v: the times are not those of the clock", run)
	}
	b.stopped(first.ID, 1, "n", ledger.Busy)
	b.later(lease)
	b.must(b.Release(b.ctx, b.started(first.ID, 1, "released"), ""))
	b.attempt(first.ID, after(refused(ledger.FaultRefusing), time.Hour))
	b.stopped(first.ID, 1, "n", ledger.Early)
	b.finish(run, requestID(unclear(), "late"))
	b.finds("late", first.ID)
	if task := b.reopen(first.ID); task.Generation != 2 {
		t.Fatalf("reopened %+v, want generation 2", task)
	}
	if rec := b.attempt(first.ID, final()); rec.State != ledger.Rejected || rec.NextID != second.ID {
		t.Fatalf("recorded %+v, want it rejected", rec)
	}
	b.reopen(first.ID)
	if next, _ := b.discard(second.ID); next.ID != first.ID || next.Generation != 3 {
		t.Fatalf("discarded: next %+v, want %s", next, first.ID)
	}
	b.attempt(first.ID, delivered("done"))
	b.finds("done", first.ID)
	if u := b.get(first.ID); u.State != ledger.Delivered || u.AttemptCount != 4 || u.Attempts[0].RequestID != "late" {
		t.Fatalf("upload %+v", u)
	}
	if got := b.list(ledger.Query{Limit: 1}); len(got) != 2 {
		t.Errorf("list %v, want two", got)
	}
	b.later(b.set.Retention + time.Hour)
	ks, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	b.must(b.Left(b.ctx, b.account, ks))
	if n, err := b.Remove(b.ctx, b.account); err != nil || n.Uploads != 2 || len(ks) != 2 {
		t.Fatalf("removed %v after %v left, %v, want both", n, ks, err)
	}
}

func TestDemoRedisBreaker(t *testing.T) {
	t.Parallel()
	b := setupDemo(t)
	b.trip(5, unavailable())
	b.openFor("outage", 5*time.Second)
	b.stopped(b.fresh(), 1, "n", ledger.BreakerOpen)
	b.pass()
	b.probe(unclear())
	b.openFor("outage", 10*time.Second)
	b.pass()
	b.probe(throttled(3 * time.Second))
	b.openFor("throttled", 3*time.Second)
	b.pass()
	b.probe(delivered("r"))
	b.isClosed()
	b.trip(3, refused(ledger.FaultCredentials))
	b.openFor("credentials", 10*time.Second)
	b.pass()
	b.must(b.Release(b.ctx, b.started(b.fresh(), 1, "p"), ledger.ReasonStore))
	b.openFor("store", 10*time.Second)
	b.pass()
	b.probe(final())
	b.isClosed()
	b.trip(5, refused(ledger.FaultRefusing))
	b.openFor("refusing", 10*time.Second)
}

func TestDemoRedisReconciler(t *testing.T) {
	t.Parallel()
	b := setupDemo(t)
	for i := range 3 {
		b.open(fmt.Sprint("order-", i), "receipt")
	}
	b.later(b.set.Grace)
	found, err := b.Pass(b.ctx, b.account, "w", time.Minute)
	b.must(err)
	if !found.Lead || found.Needed != 3 || found.Tasks != 0 {
		t.Fatalf("passed %+v, want three tasks to be missing", found)
	}
	for _, want := range []int{3, 0} {
		swept, err := b.Sweep(b.ctx, b.account, "queued:0", 500)
		if err != nil || swept.Cursor != "behind:0" || len(swept.Repairs) != want || want > 0 && swept.Repairs[0].Generation != 2 {
			t.Fatalf("swept %+v, %v, want %d tasks to put", swept, err, want)
		}
	}
	n := b.upload("order-1", "corrected")
	n.Replace = true
	if o := b.openAs(n); o.Generation != 1 {
		t.Fatalf("opened %+v, want it to be the head", o)
	}
}
