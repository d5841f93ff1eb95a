package tasks_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
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

// spooled gives clients that share a spool. What is spooled is kept by one more, whose Redis is away.
func (b *bundle) spooled(dir string, clients ...*tasks.Client) (spool func(tasks.Request) ledger.Upload) {
	b.t.Helper()
	rdb, err := redisconn.Open("redis://127.0.0.1:1", 0)
	b.must(err)
	b.t.Cleanup(func() { _ = rdb.Close() })
	away := tasks.New(tasks.Config{Redis: rdb, Store: b.store})
	for _, c := range append(clients, away) {
		b.must(c.OpenSpool(dir, 1<<20))
	}
	return func(r tasks.Request) ledger.Upload {
		b.t.Helper()
		if r.Account == "" {
			r.Account = b.account
		}
		u, err := away.Enqueue(b.ctx, r)
		b.must(err)
		if !u.Spooled {
			b.t.Fatalf("%+v was not spooled", u)
		}
		return u
	}
}

// TestOneAtATimeDrainsASpool has a process drain a spool while another is about to enqueue a voucher
// of it that discards others.
func TestOneAtATimeDrainsASpool(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var meanwhile sync.Once
	rdb := redistest.Client(t)
	rdb.AddHook(before{func(cmd redis.Cmder) {
		if strings.HasPrefix(cmd.Name(), "eval") && slices.Contains(cmd.Args(), any("contested")) {
			meanwhile.Do(func() {
				if d, err := b.DrainSpool(b.ctx); err != nil || d.Enqueued > 0 {
					t.Errorf("meanwhile: %+v, %v", d, err)
				}
			})
		}
	}})
	other := tasks.New(tasks.Config{Redis: rdb, Store: b.store, InlineMost: ledger.InlineMost})
	spool := b.spooled(t.TempDir(), b.Client, other)
	first := spool(tasks.Request{OrderID: "contested", Voucher: pdf("1"), Replace: true})
	second := spool(tasks.Request{OrderID: "contested", Voucher: pdf("2")})
	if d, err := other.DrainSpool(b.ctx); err != nil || d.Enqueued != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	for _, u := range []ledger.Upload{first, second} {
		if got := b.get(u.ID); got.State != ledger.Queued {
			t.Errorf("%s is %s", got.ID, got.State)
		}
	}
	spool(tasks.Request{OrderID: "later", Voucher: pdf("3")})
	if d, err := b.DrainSpool(b.ctx); err != nil || d.Enqueued != 1 {
		t.Errorf("after that: %+v, %v", d, err)
	}
}

// before is a hook that does something before each command.
type before struct{ do func(redis.Cmder) }

func (b before) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		b.do(cmd)
		return next(ctx, cmd)
	}
}

func (b before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			b.do(cmd)
		}
		return next(ctx, cmds)
	}
}
