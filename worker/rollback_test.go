package worker_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// snapshot has Redis keep what it has now, and gives a function that kills it: it comes back
// without all that was written since.
func (b *bundle) snapshot(s *redistest.Server) (lose func()) {
	b.t.Helper()
	b.must(b.rdb.Save(b.ctx).Err())
	return func() {
		b.t.Helper()
		s.Kill()
		s.Restart()
	}
}

// TestRedisLosesTheLastWrites has Redis forget attempts while they run and after they ended: the
// workers tell it again.
func TestRedisLosesTheLastWrites(t *testing.T) {
	t.Parallel()
	stores := map[string]option{"redis": func(*bundle) {}, "file": func(b *bundle) { var v *flaky; inFiles(&v)(b) }}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *redistest.Server
			b := setup(t, ownRedis(&s, redistest.Options{}), store, func(b *bundle) { b.conc = 8 })
			ids := b.many(60)
			lose := b.snapshot(s)
			b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(100 * time.Millisecond)})
			b.start("w1")
			b.eventually("some are delivered, some are under way", func() bool { return len(b.api.Requests()) > 20 })
			lose()
			b.reaches(ledger.Delivered, ids...)
			b.eventually("the worker has told Redis again", func() bool { return b.logs.FilterMessage("redis.replaced").Len() > 0 })
			b.agree(ids...)
		})
	}
}

// TestADemotedRedisTakesAnOutcome has an outcome vanish that was recorded after the worker saw that Redis
// was replaced, as the former one may take it for some seconds: it is told again.
func TestADemotedRedisTakesAnOutcome(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{AOF: true}))
	b.start("w1")
	b.reaches(ledger.Delivered, b.enqueue("order", 1).ID)
	s.Kill()
	s.Restart()
	b.eventually("the worker has told Redis again", func() bool { return b.logs.FilterMessage("redis.replaced").Len() == 1 })
	id := b.enqueue("order", 2).ID
	b.reaches(ledger.Delivered, id)
	b.must(b.rdb.Del(b.ctx, "voucherd:{"+ledger.Queue(b.account)+"}:a:"+id[len(b.account)+1:]).Err())
	b.eventually("the outcome is recorded again", func() bool { return len(b.get(id).Attempts) == 1 })
}

// TestARedisIsDemotedAndPromotedAgain has a Redis take over what another one has and go on as before, the
// same process: so it is when two failovers follow each other between two looks of a worker.
func TestARedisIsDemotedAndPromotedAgain(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}))
	other := redistest.Start(t, redistest.Options{})
	follow := func(replica, master *redistest.Server) {
		host, port, err := net.SplitHostPort(master.Addr)
		b.must(err)
		b.must(replica.Client().ReplicaOf(b.ctx, host, port).Err())
		b.eventually("the replica has all", func() bool {
			return strings.Contains(replica.Client().Info(b.ctx, "replication").Val(), "master_link_status:up")
		})
		b.must(replica.Client().ReplicaOf(b.ctx, "NO", "ONE").Err())
	}
	ids := []string{b.enqueue("order", 1).ID}
	follow(other, s)
	ids = append(ids, b.enqueue("order", 2).ID)
	b.start("w1")
	b.reaches(ledger.Delivered, ids...)
	follow(s, other)
	b.eventually("the worker has told Redis again", func() bool { return b.logs.FilterMessage("redis.replaced").Len() > 0 })
	b.reaches(ledger.Delivered, ids...)
	b.agree(ids...)
}

// TestRedisLosesADeliveryAndItsWorker leaves only the file store to know that the upload was
// delivered.
func TestRedisLosesADeliveryAndItsWorker(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]time.Duration{"bytes gone": 0, "bytes kept": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *redistest.Server
			var v *flaky
			b := setup(t, ownRedis(&s, redistest.Options{}), inFiles(&v), func(b *bundle) { b.ls.KeepSent = keep })
			first, second := b.enqueue("order", 1).ID, b.enqueue("order", 2).ID
			lose := b.snapshot(s)
			stop := b.start("w1")
			b.reaches(ledger.Delivered, first, second)
			was := b.get(first)
			stop()
			lose()
			b.reaches(ledger.Queued, first)
			b.start("w2")
			b.reaches(ledger.Delivered, first, second)
			got := b.get(first)
			if n := len(b.api.Requests()); n != 2 {
				t.Errorf("the API saw %d requests, want none after the loss", n)
			}
			if got.RequestID != was.RequestID || got.Attempts[0].Nonce != was.Attempts[0].Nonce || got.Attempts[0].Worker != "w1" {
				t.Errorf("upload %+v, want it as it was: %+v", got, was)
			}
		})
	}
}

// TestRedisLosesAnUploadWhoseCallRuns has even the record gone by the time that the API answers.
func TestRedisLosesAnUploadWhoseCallRuns(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}))
	lose := b.snapshot(s)
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(500 * time.Millisecond)})
	u := b.enqueue("order", 1)
	b.start("w1")
	b.eventually("the call is under way", func() bool { return len(b.api.Requests()) == 1 })
	lose()
	b.reaches(ledger.Delivered, u.ID)
	if got := b.get(u.ID); got.RequestID != b.api.Requests()[0].RequestID || got.OrderID != "order" {
		t.Errorf("upload %+v, want what the API answered", got)
	}
}

// TestRebuildKnowsWhatWasDelivered gives an empty Redis back what the file store knows, and sends
// nothing twice, whoever took the delivered ones out of the store.
func TestRebuildKnowsWhatWasDelivered(t *testing.T) {
	t.Parallel()
	for name, byReconciler := range map[string]bool{"sweeper": false, "reconciler": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rebuildDelivered(t, byReconciler)
		})
	}
}

func rebuildDelivered(t *testing.T, byReconciler bool) {
	t.Helper()
	var v *flaky
	b := setup(t, inFiles(&v))
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage, OrderID: "order-2"})
	ids := b.many(3)
	v.stuck.Store(byReconciler)
	stop := b.start("w1")
	b.reaches(ledger.Delivered, ids[:2]...)
	if byReconciler {
		b.eventually("the sweeper has failed", func() bool { return b.logs.FilterMessage("store.unreachable").Len() > 0 })
		stop()
		v.stuck.Store(false)
		stop = b.start("w1")
	}
	b.eventually("the store tells of two deliveries and one voucher", func() bool {
		told := map[string]int{}
		for stored, err := range v.All(b.ctx) {
			if errors.Is(err, blob.ErrMissing) { // it is being retired
				return false
			}
			b.must(err)
			told[stored.State]++
		}
		return len(told) == 2 && told[string(ledger.Delivered)] == 2 && told[""] == 1
	})
	stop()
	b.flush()
	for range 2 {
		r, err := tasks.New(tasks.Config{Redis: b.rdb, Store: v.Store, Ledger: b.ledger}).Rebuild(b.ctx, func(int, int) {})
		b.must(err)
		if r.Restored+r.Known != 3 || r.Damaged+r.Leftover != 0 {
			t.Fatalf("rebuilt %+v, want all three", r)
		}
	}
	b.reaches(ledger.Delivered, ids[:2]...)
	b.api.SetFaults()
	b.start("w2")
	b.reaches(ledger.Delivered, ids...)
	seen := map[string]int{}
	for _, r := range b.api.Requests() {
		if r.Accepted {
			seen[r.OrderID]++
		}
	}
	if seen["order-0"] != 1 || seen["order-1"] != 1 || seen["order-2"] != 1 {
		t.Errorf("accepted %v, want each once", seen)
	}
}

// TestScriptErrorHoldsNobodyUp damages one upload's record: its worker goes on with the others.
func TestScriptErrorHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := setup(t, longCalls, func(b *bundle) { b.conc = 1 })
	damaged := b.enqueue("damaged", 1)
	b.start("w1")
	b.eventually("its call is under way", func() bool { return len(b.api.Requests()) == 1 })
	key := "voucherd:{" + ledger.Queue(b.account) + "}:a:" + damaged.ID[len(b.account)+1:]
	b.must(b.rdb.Del(b.ctx, key).Err())
	b.must(b.rdb.Set(b.ctx, key, "no list", 0).Err())
	b.api.SetFaults()
	b.reaches(ledger.Delivered, b.enqueue("order", 2).ID)
	if b.logs.FilterMessage("upload.outcome_not_recorded").Len() != 1 {
		t.Error("the outcome that could not be recorded is not in the log")
	}
}

// flush deletes the account's keys, and its queue's.
func (b *bundle) flush() {
	b.t.Helper()
	for _, pattern := range []string{"voucherd:{" + ledger.Queue(b.account) + "}:*", "asynq:{" + ledger.Queue(b.account) + "}:*"} {
		keys, err := b.rdb.Keys(b.ctx, pattern).Result()
		b.must(err)
		if len(keys) > 0 {
			b.must(b.rdb.Del(b.ctx, keys...).Err())
		}
	}
}
