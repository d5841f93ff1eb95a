package ledger_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// deaf loses the first reply to every script: Redis gets the call twice, as it does from go-redis
// when a connection breaks before the reply.
type deaf struct{}

func (deaf) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			if err := next(ctx, redis.NewCmd(ctx, cmd.Args()...)); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func (deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

// setupDeaf is setup with a client that executes every script twice.
func setupDeaf(t *testing.T, set ledger.Settings) *bundle {
	t.Helper()
	rdb := redistest.Client(t)
	rdb.AddHook(deaf{})
	return newBundle(t, rdb, set)
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
	b := setupDeaf(t, ledger.Settings{})
	first, second := b.open("order", "1"), b.open("order", "2")
	if first.Duplicate || first.Generation != 1 || second.Duplicate || second.Generation != 0 || second.Drop != "" {
		t.Fatalf("opened %+v and %+v", first, second)
	}
	run := b.started(first.ID, 1, "n1")
	if run.Number != 1 || run.Interrupted || run.Probe {
		t.Fatalf("running %+v", run)
	}
	b.finish(run, after(refused(ledger.FaultRefusing), time.Hour))
	if u := b.get(first.ID); u.Refusals != 1 || u.AttemptCount != 1 || u.State != ledger.Waiting {
		t.Fatalf("upload %+v, want one refusal", u)
	}
	if task := b.reopen(first.ID); task.Generation != 2 {
		t.Fatalf("reopened %+v, want generation 2", task)
	}
	run = b.started(first.ID, 2, "n2")
	b.must(b.Release(b.ctx, run, ""))
	if u := b.get(first.ID); u.AttemptCount != 1 || u.State != ledger.Waiting {
		t.Fatalf("released %+v, want one attempt", u)
	}
	rec := b.finish(b.started(first.ID, 2, "n3"), final())
	if rec.State != ledger.Rejected || rec.NextID != second.ID || rec.NextGen != 1 {
		t.Fatalf("recorded %+v, want %s next", rec, second.ID)
	}
	if task := b.reopen(first.ID); task.Generation != 0 {
		t.Fatalf("reopened %+v, want it to waits in its order queue", task)
	}
	if task, _ := b.discard(second.ID); task != (ledger.Task{ID: first.ID, Generation: 3}) {
		t.Fatalf("discarded: next %+v, want %s", task, first.ID)
	}
	b.attempt(first.ID, delivered("r"))
	n := b.upload("order", "1")
	n.StoreKey, n.Again = "new", true
	if o := b.openAs(n); o.Generation != 4 {
		t.Fatalf("opened again %+v, want generation 4", o)
	}
	if u := b.get(first.ID); u.State != ledger.Queued || u.AttemptCount != 3 || u.StoreKey != "new" {
		t.Fatalf("upload %+v, want it revived once", u)
	}
}

// A reply that says which voucher may be dropped may be lost; then the reconciler drops it.
func TestLostReplyStillDropsTheVoucher(t *testing.T) {
	t.Parallel()
	b := setupDeaf(t, ledger.Settings{})
	o := b.open("order", "receipt")
	old := b.get(o.ID).StoreKey
	b.attempt(o.ID, final())
	n := b.upload("order", "receipt")
	n.StoreKey, n.Again = "new", true
	b.openAs(n)
	b.later(time.Hour)
	b.leave(ledger.Kept{ID: o.ID, StoreKey: old})
	b.leave()
	if u := b.get(o.ID); u.StoreKey != "new" || u.State != ledger.Queued {
		t.Fatalf("upload %+v, want it to hold the new voucher", u)
	}
}

func TestLostRepliesOfTheBreaker(t *testing.T) {
	t.Parallel()
	b := setupDeaf(t, ledger.Settings{})
	b.trip(4, unavailable())
	b.isClosed()
	b.trip(1, unavailable())
	b.openFor("outage", 5*time.Second)
	b.pass()
	b.probe(unavailable())
	b.openFor("outage", 10*time.Second)
	b.pass()
	b.must(b.Release(b.ctx, b.started(b.fresh(), 1, "p"), ledger.ReasonStore))
	b.openFor("store", 10*time.Second)
	b.pass()
	b.probe(delivered("r"))
	b.isClosed()
}
