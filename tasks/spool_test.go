package tasks_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// spooled gives clients that share a spool. What is spooled is kept by one more, whose Redis is
// away.
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

// TestOneAtATimeDrainsASpool has a process drain a spool while another is about to enqueue a
// voucher of it that discards others.
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

// TestAVoucherOfTheSpoolIsTheSameCall has a process die after it enqueued a voucher of the spool and
// before it removed it: once it was delivered, the next one does not send it again.
func TestAVoucherOfTheSpoolIsTheSameCall(t *testing.T) {
	t.Parallel()
	b, dir := setup(t), t.TempDir()
	u := b.spooled(dir, b.Client)(tasks.Request{OrderID: "1", Voucher: pdf("1"), Again: true})
	files, err := filepath.Glob(filepath.Join(dir, "waiting", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	whole, err := os.ReadFile(files[0])
	b.must(err)
	for range 2 {
		b.must(os.WriteFile(files[0], whole, 0o600)) //nolint:gosec // a file of this test's directory
		d, err := b.DrainSpool(b.ctx)
		if err != nil || d.Enqueued != 1 {
			t.Fatalf("%+v, %v", d, err)
		}
		if got := b.get(u.ID); got.State == ledger.Queued && got.AttemptCount == 0 {
			_, err = ledger.New(b.rdb, ledger.Settings{}).Finish(b.ctx, b.begin(got), ledger.AttemptResult{
				Outcome: ledger.OutcomeDelivered, HTTPStatus: 200, Code: "200", Next: ledger.Delivered,
			})
			b.must(err)
		}
	}
	if got := b.get(u.ID); got.State != ledger.Delivered || got.AttemptCount != 1 {
		t.Errorf("it is %s after %d attempts", got.State, got.AttemptCount)
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

// failing is a blob store that takes no voucher of an order called "bad" while there is an error.
type failing struct {
	blob.Store

	err error
}

func (f *failing) Put(ctx context.Context, m blob.Meta, r io.Reader) (blob.Entry, error) {
	if m.OrderID == "bad" && f.err != nil {
		return blob.Entry{}, f.err
	}
	return f.Store.Put(ctx, m, r)
}

// TestAFailureHoldsUpItsOrderAlone has one order of a spool fail, in its first voucher and for some
// time: all others are enqueued, and then those of this order, as they came.
func TestAFailureHoldsUpItsOrderAlone(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]error{
		"of any kind":       errors.New("the disk is tired"),
		"of a missing file": &fs.PathError{Op: "open", Path: "/store/STORE", Err: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.Client(t)
			store := &failing{Store: blob.NewRedis(rdb), err: why}
			b := with(t, rdb, store, 0)
			spool := b.spooled(t.TempDir(), b.Client)
			first := spool(tasks.Request{OrderID: "bad", Voucher: pdf("1")})
			const others = 70
			for i := range others {
				spool(tasks.Request{OrderID: strconv.Itoa(i), Voucher: pdf("x")})
			}
			second := spool(tasks.Request{OrderID: "bad", Voucher: pdf("2")})
			d, err := b.DrainSpool(b.ctx)
			if d.Enqueued != others || len(d.Refused) != 0 || !errors.Is(err, why) || !strings.Contains(err.Error(), first.ID) {
				t.Errorf("%+v, %v", d, err)
			}
			store.err = nil
			if d, err = b.DrainSpool(b.ctx); err != nil || d.Enqueued != 2 {
				t.Errorf("after that: %+v, %v", d, err)
			}
			if one, two := b.get(first.ID), b.get(second.ID); one.Generation != 1 || two.Generation != 0 {
				t.Errorf("generations %d and %d, want the first of the order to come first", one.Generation, two.Generation)
			}
		})
	}
}

// TestAnAccountOfAnotherStoreHoldsUpNoOther has an account whose vouchers lie elsewhere in front.
func TestAnAccountOfAnotherStoreHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere, err := blob.OpenDir(t.Context(), t.TempDir())
	b.must(err)
	other := redistest.Account(t)
	b.must(tasks.New(tasks.Config{Redis: b.rdb, Store: elsewhere}).Bind(b.ctx, other))
	spool := b.spooled(t.TempDir(), b.Client)
	for i := range 70 {
		spool(tasks.Request{Account: other, OrderID: strconv.Itoa(i), Voucher: pdf("1")})
	}
	u := spool(tasks.Request{OrderID: "1", Voucher: pdf("2")})
	d, err := b.DrainSpool(b.ctx)
	if d.Enqueued != 1 || !errors.Is(err, ledger.ErrOtherStore) || strings.Count(err.Error(), "\n") > 10 {
		t.Errorf("%+v, %v", d, err)
	}
	b.get(u.ID)
}

// TestAFileThatCannotBeReadNow has a file of the spool that cannot be opened for a while. Which
// order it is of cannot be told, so what came later to its account stays behind it.
func TestAFileThatCannotBeReadNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dir := t.TempDir()
	spool := b.spooled(dir, b.Client)
	spool(tasks.Request{OrderID: "0", Voucher: pdf("0")})
	first := spool(tasks.Request{OrderID: "1", Voucher: pdf("1")})
	second := spool(tasks.Request{OrderID: "1", Voucher: pdf("2")})
	spool(tasks.Request{Account: redistest.Account(t), OrderID: "1", Voucher: pdf("3")})
	file := spooledFile(t, dir, first)
	b.must(os.Rename(file, filepath.Join(dir, "away")))
	b.must(os.Symlink(file, file)) // too many levels of symbolic links
	d, err := b.DrainSpool(b.ctx)
	if d.Enqueued != 2 || len(d.Refused) != 0 || err == nil || !strings.Contains(err.Error(), first.ID) {
		t.Errorf("%+v, %v", d, err)
	}
	b.must(os.Rename(filepath.Join(dir, "away"), file))
	if d, err = b.DrainSpool(b.ctx); err != nil || d.Enqueued != 2 {
		t.Errorf("after that: %+v, %v", d, err)
	}
	if one, two := b.get(first.ID), b.get(second.ID); one.Generation != 1 || two.Generation != 0 {
		t.Errorf("generations %d and %d, want the first of the order to come first", one.Generation, two.Generation)
	}
}

// spooledFile finds the file of a voucher that waits.
func spooledFile(t *testing.T, dir string, u ledger.Upload) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "waiting", "*-"+u.ID))
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	return found[0]
}
