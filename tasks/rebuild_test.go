package tasks_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestRebuildAfterFlushAll(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	rdb := s.Client()
	v, err := blob.Open(t.Context(), "file://"+t.TempDir(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	b := with(t, rdb, v, 0)
	var ids []string
	for i := range 20 {
		ids = append(ids, b.enqueue(tasks.Request{OrderID: fmt.Sprintf("order-%d", i%5), Voucher: pdf(strconv.Itoa(i))}).ID)
	}
	gone := b.enqueue(tasks.Request{OrderID: "gone", Voucher: pdf("gone")})
	_, err = b.Discard(b.ctx, gone.ID, ledger.Who{})
	b.must(err)
	dead := b.enqueue(tasks.Request{OrderID: "dead", Voucher: pdf("dead"), Reference: "r-1"})
	b.reject(dead)
	before := map[string]ledger.Upload{}
	for _, id := range ids {
		before[id] = b.get(id)
	}
	b.must(rdb.FlushAll(b.ctx).Err())

	steps := 0
	r, err := b.Rebuild(b.ctx, func(done, all int) { steps = done; _ = all })
	b.must(err)
	if r.Restored != len(ids)+1 || r.Known != 0 || steps != len(ids)+1 {
		t.Errorf("first: %+v after %d steps", r, steps)
	}
	for id, was := range before {
		u := b.get(id)
		if u.State != ledger.Queued || u.SHA256 != was.SHA256 || u.OrderID != was.OrderID || (u.Generation == 0) != (was.Generation == 0) {
			t.Errorf("%+v became %+v", was, u)
		}
	}
	if u := b.get(dead.ID); u.State != ledger.Rejected || u.Reference != "r-1" {
		t.Errorf("the rejected one became %+v", u)
	}
	if len(b.pending()) != 5 {
		t.Errorf("%d tasks, want one for each order queue", len(b.pending()))
	}
	again, err := b.Rebuild(b.ctx, func(int, int) {})
	b.must(err)
	if again.Restored != 0 || again.Known != len(ids)+1 || len(b.pending()) != 5 {
		t.Errorf("second: %+v, %d tasks", again, len(b.pending()))
	}
	if u, err := b.Retry(b.ctx, dead.ID, ledger.Who{}); err != nil || u.State != ledger.Queued {
		t.Errorf("retry of the rejected one: %+v %v", u, err)
	}
}

// reject has an attempt of an upload refused for good, as a worker would.
func (b *bundle) reject(u ledger.Upload) {
	b.t.Helper()
	_, err := ledger.New(b.rdb, ledger.Settings{}).Finish(b.ctx, b.begin(u), ledger.AttemptResult{
		Outcome: ledger.OutcomeRefused, Fault: ledger.FaultFinal, HTTPStatus: 200, Code: "7", Next: ledger.Rejected,
	})
	b.must(err)
	full, err := b.Get(b.ctx, u.ID)
	b.must(err)
	if full.StoreKey != "" {
		b.must(b.store.Note(b.ctx, full.StoreKey, blob.Note{State: string(ledger.Rejected)}))
	}
}

func (b *bundle) begin(u ledger.Upload) ledger.Running {
	b.t.Helper()
	g, err := ledger.New(b.rdb, ledger.Settings{}).Begin(b.ctx, ledger.NewAttempt{
		ID: u.ID, Generation: u.Generation, Nonce: "n" + u.OrderID, Worker: "w", Lease: time.Minute,
	})
	b.must(err)
	return g.Running
}

// TestRebuildIntoAPartialRedis loses one record and one order queue: both uploads go on, whichever
// blob store it is.
func TestRebuildIntoAPartialRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	rdb := s.Client()
	v, err := blob.Open(t.Context(), "file://"+t.TempDir(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	b := with(t, rdb, v, 0)
	l := ledger.New(rdb, ledger.Settings{})
	first, second := b.enqueue(tasks.Request{OrderID: "a", Voucher: pdf("1")}), b.enqueue(tasks.Request{OrderID: "b", Voucher: pdf("2")})
	key := func(kind, name string) string {
		return "voucherd:{" + ledger.Queue(b.account) + "}:" + kind + ":" + name
	}
	b.must(rdb.Del(b.ctx, key("u", first.ID[len(b.account)+1:]), key("o", "b")).Err())
	b.must(rdb.Del(b.ctx, "asynq:{"+ledger.Queue(b.account)+"}:pending").Err())
	_, err = b.Rebuild(b.ctx, func(int, int) {})
	b.must(err)
	for _, u := range []ledger.Upload{first, second} {
		g := b.get(u.ID).Generation
		got, err := l.Begin(b.ctx, ledger.NewAttempt{ID: u.ID, Generation: g, Nonce: u.ID, Worker: "w", Lease: time.Minute})
		b.must(err)
		if got.Answer != ledger.Started {
			t.Errorf("begin %+v: %+v, want it to be the head of its order", u, got)
		}
	}
}

// TestRebuildOfALedgerAlone has vouchers in Redis: what its indexes have lost comes back from the
// records.
func TestRebuildOfALedgerAlone(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.Options{}).Client()
	b := with(t, rdb, blob.NewRedis(rdb), ledger.InlineMost)
	u := b.enqueue(tasks.Request{OrderID: "a", Voucher: pdf("1")})
	p := "voucherd:{" + ledger.Queue(b.account) + "}:"
	b.must(b.rdb.Del(b.ctx, p+"s:behind", p+"o:a", p+"s:queued").Err())
	r, err := b.Rebuild(b.ctx, func(int, int) {})
	b.must(err)
	if r != (tasks.Rebuilt{}) {
		t.Errorf("rebuilt %+v, want nothing to be missing but index entries", r)
	}
	if found, err := b.Find(b.ctx, "a"); err != nil || len(found) != 1 || found[0].ID != u.ID {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestOtherStoreIsRefused has a producer that puts vouchers where the account's workers do not look
// for them.
func TestOtherStoreIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("x")})
	dir, err := blob.Open(t.Context(), "file://"+t.TempDir(), b.rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	other := tasks.New(tasks.Config{Redis: b.rdb, Store: dir})
	_, err = other.Enqueue(t.Context(), tasks.Request{Account: b.account, OrderID: "for-the-other-store", Voucher: pdf("y")})
	if !errors.Is(err, ledger.ErrOtherStore) {
		t.Errorf("error %v", err)
	}
	if _, err := b.Find(b.ctx, "for-the-other-store"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("it was recorded all the same: %v", err)
	}
}
