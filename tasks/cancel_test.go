package tasks_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// canceller is a go-redis hook that cancels a context just before the n-th command or pipeline is
// sent.
type canceller struct {
	n      int64
	cancel context.CancelFunc
	seen   atomic.Int64
}

func (c *canceller) look() {
	if c.seen.Add(1) == c.n {
		c.cancel()
	}
}

func (c *canceller) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *canceller) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.look()
		return next(ctx, cmd)
	}
}

func (c *canceller) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.look()
		return next(ctx, cmds)
	}
}

// cancelEverywhere tells a story with a context that is over from the start, and then once for each
// command that the actor sends, with one that is cancelled just before it. The actor is a new
// client each time.
func cancelEverywhere(t *testing.T, story func(t *testing.T, b *bundle, actor *tasks.Client, ctx context.Context) (done bool)) {
	t.Helper()
	var done, undone int
	for n := int64(0); ; n++ {
		b := setup(t)
		ctx, cancel := context.WithCancel(b.ctx)
		if n == 0 {
			cancel()
		}
		hook := &canceller{n: n, cancel: cancel}
		rdb := redistest.Client(t)
		rdb.AddHook(hook)
		ok := story(t, b, tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost}), ctx)
		cancel()
		if hook.seen.Load() < n {
			break
		}
		if ok {
			done++
		} else {
			undone++
		}
		if t.Failed() {
			t.Fatalf("when cancelled at command %d", n)
		}
	}
	if done == 0 || undone == 0 {
		t.Errorf("%d were done and %d not: the cancel did not meet both sides of the record", done, undone)
	}
}

// allOrNothing checks that an enqueue that met a cancel either left nothing, and says so, or is
// recorded with its task.
func allOrNothing(t *testing.T, b *bundle, order string, u ledger.Upload, err error) (done bool) {
	t.Helper()
	found, finding := b.Find(b.ctx, order)
	switch {
	case errors.Is(err, tasks.ErrNotEnqueued):
		if !errors.Is(err, context.Canceled) || !errors.Is(finding, ledger.ErrNotFound) {
			t.Errorf("the error is %q, but there is %+v (%v)", err, found, finding)
		}
		return false
	case err != nil:
		t.Errorf("error %q", err)
		return false
	}
	for _, p := range b.pending() {
		if p.ID == u.ID {
			return true
		}
	}
	t.Errorf("%s was accepted and has no task", u.ID)
	return true
}

func TestEnqueueIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, voucher := range map[string]string{
		"small": "small", "in chunks": strings.Repeat("x", 2*ledger.InlineMost),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cancelEverywhere(t, func(t *testing.T, b *bundle, actor *tasks.Client, ctx context.Context) bool {
				t.Helper()
				order := b.account + "-1"
				u, err := actor.Enqueue(ctx, tasks.Request{Account: b.account, OrderID: order, Voucher: pdf(voucher)})
				return allOrNothing(t, b, order, u, err)
			})
		})
	}
}

func TestEnqueueAllIsAllOrNothing(t *testing.T) {
	t.Parallel()
	cancelEverywhere(t, func(t *testing.T, b *bundle, actor *tasks.Client, ctx context.Context) (done bool) {
		t.Helper()
		requests := make([]tasks.Request, 4)
		for i := range requests {
			requests[i] = tasks.Request{Account: b.account, OrderID: b.account + "-" + strconv.Itoa(i), Voucher: pdf("x")}
		}
		results, _ := collect(ctx, actor, requests)
		for i, r := range results {
			done = allOrNothing(t, b, requests[i].OrderID, r.Upload, r.Err) || done
		}
		return done
	})
}

func TestRetryIsAllOrNothing(t *testing.T) {
	t.Parallel()
	cancelEverywhere(t, func(t *testing.T, b *bundle, actor *tasks.Client, ctx context.Context) bool {
		t.Helper()
		id := b.rejected("1")
		_, err := actor.Retry(ctx, id, ledger.Who{})
		state, tasksPut := b.get(id).State, len(b.pending())
		switch {
		case err == nil && state == ledger.Queued && tasksPut == 1:
			return true
		case !errors.Is(err, context.Canceled) || state != ledger.Rejected || tasksPut != 0:
			t.Errorf("error %v, the upload is %s with %d tasks", err, state, tasksPut)
		}
		return false
	})
}

func TestDiscardIsAllOrNothing(t *testing.T) {
	t.Parallel()
	cancelEverywhere(t, func(t *testing.T, b *bundle, actor *tasks.Client, ctx context.Context) bool {
		t.Helper()
		first := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("first")})
		next := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("next in line")})
		_, err := actor.Discard(ctx, first.ID, ledger.Who{})
		state, pending := b.get(first.ID).State, b.pending()
		switch {
		case err == nil && state == ledger.Discarded && len(pending) == 1 && pending[0].ID == next.ID && b.kept() == 1:
			return true
		case !errors.Is(err, context.Canceled) || state != ledger.Queued || len(pending) != 1 || pending[0].ID != first.ID:
			t.Errorf("error %v, the upload is %s and the tasks are %v", err, state, pending)
		}
		return false
	})
}

// rejected records an upload that was refused for good.
func (b *bundle) rejected(order string) (id string) {
	b.t.Helper()
	voucher := []byte("%PDF-1.4 refused")
	_, entry, err := blob.Keys{}.Seal(voucher)
	b.must(err)
	o, err := ledger.New(b.rdb, ledger.Settings{}).Open(b.ctx, ledger.NewUpload{
		Account: b.account, OrderID: order, SHA256: entry.SHA256, CRC32C: entry.CRC32C, Size: entry.Size,
		MediaType: "application/pdf", Inline: voucher, Ended: ledger.Rejected,
	})
	b.must(err)
	return o.ID
}
