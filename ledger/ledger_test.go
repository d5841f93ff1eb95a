package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("1022505290408395575", "receipt")
	if o.Duplicate || o.Generation != 1 {
		t.Fatalf("opened %+v", o)
	}
	run := b.started(o.ID, 1, "n1")
	if run.Number != 1 || run.Size != 7 || run.OrderID != "1022505290408395575" || run.Age < 0 {
		t.Fatalf("running %+v", run)
	}
	rec := b.finish(run, delivered("req-1"))
	if rec.State != ledger.Delivered || rec.How != "recorded" {
		t.Fatalf("recorded %+v", rec)
	}
	for _, key := range []string{o.ID, "1022505290408395575", "req-1"} {
		b.finds(key, o.ID)
	}
	if u := b.get(o.ID); u.RequestID != "req-1" || u.Attempts[0].RequestID != "req-1" || u.AttemptCount != 1 {
		t.Fatalf("upload %+v, want its one attempt", u)
	}
}

func TestBindStore(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.must(b.BindStore(b.ctx, b.account, "disk-1"))
	b.must(b.BindStore(b.ctx, b.account, "disk-1"))
	if err := b.BindStore(b.ctx, b.account, "disk-2"); !errors.Is(err, ledger.ErrOtherStore) {
		t.Fatalf("a second blob store: %v, want ErrOtherStore", err)
	}
	accounts, err := b.Accounts(b.ctx)
	b.must(err)
	if !slices.Contains(accounts, b.account) {
		t.Fatalf("accounts %v are without %s", accounts, b.account)
	}
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	opt := s.Client().Options()
	rdb := redis.NewClient(&redis.Options{Addr: opt.Addr, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	b := newBundle(t, rdb, ledger.Settings{})
	o := b.open("order", "receipt")
	run := b.started(o.ID, 1, "n1")
	s.Kill()
	calls := map[string]func() error{
		"open":     func() error { _, err := b.Open(b.ctx, b.upload("order", "b")); return err },
		"begin":    func() error { _, err := b.Begin(b.ctx, ledger.NewAttempt{ID: o.ID, Nonce: "n"}); return err },
		"finish":   func() error { _, err := b.Finish(b.ctx, run, delivered("r")); return err },
		"release":  func() error { return b.Release(b.ctx, run, ledger.ReasonStore) },
		"reopen":   func() error { _, err := b.Reopen(b.ctx, o.ID, ledger.Who{}); return err },
		"discard":  func() error { _, _, err := b.Discard(b.ctx, o.ID, ledger.Who{}); return err },
		"pass":     func() error { _, err := b.Pass(b.ctx, b.account, "w", time.Minute); return err },
		"remove":   func() error { _, err := b.Remove(b.ctx, b.account); return err },
		"leaving":  func() error { _, err := b.Leaving(b.ctx, b.account); return err },
		"left":     func() error { return b.Left(b.ctx, b.account, []ledger.Kept{{ID: o.ID, StoreKey: "k"}}) },
		"breaker":  func() error { _, err := b.Breaker(b.ctx, b.account); return err },
		"get":      func() error { _, err := b.Get(b.ctx, o.ID); return err },
		"find":     func() error { _, err := b.Find(b.ctx, "order"); return err },
		"list":     func() error { _, err := b.List(b.ctx, ledger.Query{Account: b.account}); return err },
		"since":    func() error { _, err := b.List(b.ctx, ledger.Query{Account: b.account, Since: lease}); return err },
		"order":    func() error { _, err := b.List(b.ctx, ledger.Query{Account: b.account, OrderID: "order"}); return err },
		"counts":   func() error { _, err := b.Counts(b.ctx, b.account); return err },
		"activity": func() error { _, err := b.Activity(b.ctx, b.account, time.Minute, 3); return err },
		"accounts": func() error { _, err := b.Accounts(b.ctx); return err },
		"bind":     func() error { return b.BindStore(b.ctx, b.account, "v") },
	}
	for name, call := range calls {
		if err := call(); err == nil || errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s without Redis: %v, want an error that is not 'not found'", name, err)
		}
	}
}
