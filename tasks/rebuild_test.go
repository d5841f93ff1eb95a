package tasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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

// endedOnce is an upload that has ended before vouchers of it are found in a file store.
type endedOnce struct {
	*bundle

	l         *ledger.Ledger
	id        string
	first     blob.Entry // the voucher with which it ended
	began     time.Time  // when that came; its delivery was a minute later
	delivered ledger.Attempt
}

func newEndedOnce(t *testing.T, v blob.Store, rdb *redis.Client) *endedOnce {
	t.Helper()
	e := &endedOnce{bundle: with(t, rdb, v, 0), l: ledger.New(rdb, ledger.Settings{}), began: time.Now().Add(-time.Hour)}
	e.must(e.Bind(e.ctx, e.account))
	e.first = e.put(0)
	o, err := e.l.Open(e.ctx, ledger.NewUpload{
		Account: e.account, OrderID: "1", SHA256: e.first.SHA256, Size: e.first.Size, StoreKey: e.first.Key,
	})
	e.must(err)
	e.id = o.ID
	end := ledger.Time{Time: e.began.Add(time.Minute)}
	e.delivered = ledger.Attempt{
		Number: 1, Generation: 1, Nonce: "n", Worker: "w", StartedAt: end, EndedAt: end, Outcome: ledger.OutcomeDelivered, HTTPStatus: 200,
	}
	return e
}

// put puts the voucher once more, as if it had come that much later, and claims it.
func (e *endedOnce) put(later time.Duration) blob.Entry {
	e.t.Helper()
	v, err := e.store.Put(e.ctx, blob.Meta{Account: e.account, OrderID: "1", CameAt: e.began.Add(later)}, pdf("x"))
	e.must(err)
	e.must(e.store.Claim(e.ctx, v.Key))
	return v
}

func (e *endedOnce) deliver() {
	e.t.Helper()
	_, err := e.l.RecordDelivery(e.ctx, e.id, e.delivered)
	e.must(err)
}

func (e *endedOnce) retire(v blob.Entry) {
	e.t.Helper()
	result, err := json.Marshal(e.delivered)
	e.must(err)
	e.must(e.store.Retire(e.ctx, blob.Retired{Key: v.Key, Result: result}))
	e.must(e.l.Left(e.ctx, e.account, []ledger.Kept{{ID: e.id, StoreKey: v.Key}}))
}

// TestRebuildOfWhatWasEnqueuedAgain has Redis forget that an upload which had ended was enqueued
// again: the voucher in the blob store tells of it, if it came after that end. What is left of the
// voucher that was sent is not sent again.
func TestRebuildOfWhatWasEnqueuedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*endedOnce) (again blob.Entry) // what lies there, and is to be sent
		want    ledger.State
	}{
		"again": {func(e *endedOnce) blob.Entry {
			e.deliver()
			e.retire(e.first)
			return e.put(30 * time.Minute)
		}, ledger.Queued},
		"again, and the record still has its voucher": {func(e *endedOnce) blob.Entry {
			e.deliver()
			e.must(e.store.Delete(e.ctx, e.first.Key))
			return e.put(30 * time.Minute)
		}, ledger.Queued},
		"again, and nothing is left but the store": {func(e *endedOnce) blob.Entry {
			e.retire(e.first)
			e.must(e.rdb.FlushAll(e.ctx).Err())
			return e.put(30 * time.Minute)
		}, ledger.Queued},
		"again, and rejected": {func(e *endedOnce) blob.Entry {
			e.deliver()
			e.retire(e.first)
			v := e.put(30 * time.Minute)
			e.must(e.store.Note(e.ctx, v.Key, blob.Note{State: string(ledger.Rejected)}))
			return v
		}, ledger.Rejected},
		"again after a rejection": {func(e *endedOnce) blob.Entry {
			e.reject(e.get(e.id))
			e.must(e.store.Delete(e.ctx, e.first.Key))
			return e.put(2 * time.Hour)
		}, ledger.Queued},
		"its own voucher": {func(e *endedOnce) blob.Entry {
			e.deliver()
			return e.first
		}, ledger.Delivered},
		"its own voucher, which the record no longer has": {func(e *endedOnce) blob.Entry {
			e.deliver()
			e.must(e.l.Left(e.ctx, e.account, []ledger.Kept{{ID: e.id, StoreKey: e.first.Key}}))
			return blob.Entry{}
		}, ledger.Delivered},
		"a copy from before": {func(e *endedOnce) blob.Entry {
			e.deliver()
			e.put(30 * time.Second)
			e.retire(e.first)
			return blob.Entry{}
		}, ledger.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := blob.OpenDir(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			e := newEndedOnce(t, v, redistest.Start(t, redistest.Options{}).Client())
			again := c.prepare(e)
			for range 2 { // doing it again changes nothing
				if r, err := e.Rebuild(e.ctx, func(int, int) {}); err != nil || r.Damaged > 0 {
					t.Fatalf("%+v, %v", r, err)
				}
				u := e.get(e.id)
				if u.State != c.want || u.StoreKey != again.Key {
					t.Errorf("it is %s, and has %q, want %s and %q", u.State, u.StoreKey, c.want, again.Key)
				}
				if again.Key != "" {
					r, err := e.Voucher(e.ctx, u)
					e.must(err)
					e.must(r.Close())
				}
				if tasks := len(e.pending()); (tasks == 1) != (c.want == ledger.Queued) {
					t.Errorf("%d tasks", tasks)
				}
			}
		})
	}
}

// hasty is a blob store in which all is delivered while it is being listed.
type hasty struct {
	blob.Store

	meanwhile func(blob.Stored)
}

func (h *hasty) All(ctx context.Context) iter.Seq2[blob.Stored, error] {
	return func(yield func(blob.Stored, error) bool) {
		for s, err := range h.Store.All(ctx) {
			if err == nil && s.State == "" {
				h.meanwhile(s)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// TestRebuildBesideAWorker has a voucher be delivered between the look at the store and that at the
// ledger, whose clock is behind that of the store.
func TestRebuildBesideAWorker(t *testing.T) {
	t.Parallel()
	dir, err := blob.OpenDir(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	v := &hasty{Store: dir}
	e := newEndedOnce(t, v, redistest.Start(t, redistest.Options{}).Client())
	e.delivered.EndedAt.Time = e.began.Add(-time.Second)
	v.meanwhile = func(s blob.Stored) {
		e.deliver()
		e.retire(s.Entry)
	}
	r, err := e.Rebuild(e.ctx, func(int, int) {})
	e.must(err)
	if u := e.get(e.id); u.State != ledger.Delivered || r.Restored != 0 {
		t.Errorf("it is %s after %+v", u.State, r)
	}
}
