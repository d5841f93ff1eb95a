package tasks_test

import (
	"context"
	"io"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// limits notes whether putting a voucher had a limit of time.
type limits struct {
	blob.Store

	limited bool
}

func (l *limits) Put(ctx context.Context, m blob.Meta, r io.Reader) (blob.Entry, error) {
	_, l.limited = ctx.Deadline()
	return l.Store.Put(ctx, m, r)
}

// TestWhatCanBeReadOnceIsNotHurried has a client with a spool take a voucher that it could not read
// again for the spool, as standard input, and one that it could.
func TestWhatCanBeReadOnceIsNotHurried(t *testing.T) {
	t.Parallel()
	rdb, account := redistest.Client(t), redistest.Account(t)
	store := &limits{Store: blob.NewRedis(rdb)}
	c := tasks.New(tasks.Config{Redis: rdb, Store: store})
	if err := c.OpenSpool(t.TempDir(), 1<<20); err != nil {
		t.Fatal(err)
	}
	for order, voucher := range map[string]io.Reader{"once": io.MultiReader(pdf("a")), "again": pdf("b")} {
		u, err := c.Enqueue(t.Context(), tasks.Request{Account: account, OrderID: order, Voucher: voucher})
		if err != nil || u.Spooled {
			t.Fatalf("%s: %+v, %v", order, u, err)
		}
		if want := order == "again"; store.limited != want {
			t.Errorf("%s: limited %t, want %t", order, store.limited, want)
		}
	}
}
