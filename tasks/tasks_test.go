package tasks_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) {
	os.Exit(redistest.Main(m))
}

// bundle is one test's account in the shared Redis.
type bundle struct {
	*tasks.Client

	t       *testing.T
	ctx     context.Context //nolint:containedctx // a test's own
	rdb     *redis.Client
	store   blob.Store
	account string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	rdb := redistest.Client(t)
	return with(t, rdb, blob.NewRedis(rdb), ledger.InlineMost)
}

func with(t *testing.T, rdb *redis.Client, v blob.Store, inline int64) *bundle {
	t.Helper()
	return &bundle{
		Client: tasks.New(tasks.Config{Redis: rdb, Store: v, InlineMost: inline}), t: t, ctx: t.Context(), rdb: rdb, store: v, account: redistest.Account(t),
	}
}

// pdf makes a small voucher of any content.
func pdf(content string) *strings.Reader { return strings.NewReader("%PDF-1.4 " + content) }

func (b *bundle) enqueue(r tasks.Request) ledger.Upload {
	b.t.Helper()
	r.Account = b.account
	u, err := b.Enqueue(b.ctx, r)
	b.must(err)
	return u
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) get(id string) ledger.Upload {
	b.t.Helper()
	u, err := b.Get(b.ctx, id)
	b.must(err)
	return u
}

// pending lists the payloads that wait in the account's queue.
func (b *bundle) pending() []tasks.Payload {
	b.t.Helper()
	infos, err := asynq.NewInspectorFromRedisClient(b.rdb).ListPendingTasks(ledger.Queue(b.account), asynq.PageSize(1000))
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return nil
	}
	b.must(err)
	var ps []tasks.Payload
	for _, i := range infos {
		p, err := tasks.ParsePayload(i.Payload)
		b.must(err)
		if len(i.Payload) >= 1024 {
			b.t.Errorf("a payload of %d bytes", len(i.Payload))
		}
		ps = append(ps, p)
	}
	return ps
}

func (b *bundle) kept() int {
	b.t.Helper()
	keys, err := b.rdb.Keys(b.ctx, "voucherd:{vouchers-"+b.account+"}:[bv]:*").Result()
	b.must(err)
	return len(keys)
}

func TestTenAtOnceAreOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	ids := make([]ledger.Upload, 10)
	for i := range ids {
		wg.Go(func() {
			u, err := b.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: "1022505290408395575", Voucher: pdf("same")})
			if err != nil {
				t.Error(err)
			}
			ids[i] = u
		})
	}
	wg.Wait()
	firsts := 0
	for _, u := range ids {
		if u.ID == "" || u.ID != ids[0].ID {
			t.Errorf("ids %s and %s", u.ID, ids[0].ID)
		}
		if !u.Duplicate {
			firsts++
		}
	}
	if firsts != 1 || len(b.pending()) != 1 || b.kept() != 1 {
		t.Errorf("%d were first, %d tasks, %d vouchers; want one each", firsts, len(b.pending()), b.kept())
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exe := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 100)...)
	for _, c := range []struct {
		name  string
		r     tasks.Request
		field string
	}{
		{"no order", tasks.Request{Voucher: pdf("")}, "orderId"},
		{"order of surprises", tasks.Request{OrderID: "../../etc/passwd", Voucher: pdf("")}, "orderId"},
		{"order with NUL", tasks.Request{OrderID: "1\x00", Voucher: pdf("")}, "orderId"},
		{"order too long", tasks.Request{OrderID: strings.Repeat("1", 65), Voucher: pdf("")}, "orderId"},
		{"user with newline", tasks.Request{OrderID: "1", UserID: "a\nb", Voucher: pdf("")}, "userId"},
		{"account", tasks.Request{OrderID: "1", Account: "A b", Voucher: pdf("")}, "account"},
		{"reference", tasks.Request{OrderID: "1", Reference: "a\tb", Voucher: pdf("")}, "reference"},
		{"empty", tasks.Request{OrderID: "1", Voucher: strings.NewReader("")}, "voucher"},
		{"program", tasks.Request{OrderID: "1", Voucher: bytes.NewReader(exe)}, "voucher"},
		{"text", tasks.Request{OrderID: "1", Voucher: strings.NewReader("I paid, honestly")}, "voucher"},
		{"too large", tasks.Request{OrderID: "1", Voucher: pdf(strings.Repeat("x", tasks.DefaultMaxVoucherBytes))}, "voucher"},
	} {
		if c.r.Account == "" {
			c.r.Account = b.account
		}
		_, err := b.Enqueue(b.ctx, c.r)
		var invalid *tasks.InvalidError
		if !errors.As(err, &invalid) || !errors.Is(err, tasks.ErrInvalid) || invalid.Field != c.field {
			t.Errorf("%s: %v, want a complaint about %s", c.name, err, c.field)
		}
	}
	keys, err := b.rdb.Keys(b.ctx, "*{vouchers-"+b.account+"}*").Result()
	b.must(err)
	if len(keys) != 1 || !strings.HasSuffix(keys[0], ":store") { // which blob store is the account's
		t.Errorf("refusals left %v", keys)
	}
}

func TestLargestVoucherIsAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf(strings.Repeat("x", tasks.DefaultMaxVoucherBytes-9))})
	if u.Size != tasks.DefaultMaxVoucherBytes || u.MediaType != "application/pdf" {
		t.Errorf("stored as %+v", u)
	}
}

// TestWhatEnqueueGivesIsWhatIsStored compares the record that Enqueue makes up with the one there
// is.
func TestWhatEnqueueGivesIsWhatIsStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, r := range []tasks.Request{
		{OrderID: "1", UserID: "u", Reference: "r", Voucher: pdf("first")},
		{OrderID: "1", UserID: "u", Voucher: pdf("next in line")},
	} {
		u := b.enqueue(r)
		if d := cmp.Diff(b.get(u.ID), u); d != "" {
			t.Error(d)
		}
	}
}

var errBroken = errors.New("connection cut")

type broken struct{ n int }

func (r *broken) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, errBroken
	}
	r.n--
	return copy(p, "%PDF-1.4 "+strings.Repeat("x", 4096)), nil
}

func TestBrokenReaderLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: "1", Voucher: &broken{n: 3}}); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	if b.kept() != 0 || len(b.pending()) != 0 {
		t.Error("something was left behind")
	}
}

func TestLineReplaceAndAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("first")})
	wrong := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("wrong")})
	right := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("right"), Replace: true})
	if got := b.pending(); len(got) != 2 || got[1].ID != first.ID && got[0].ID != first.ID {
		t.Errorf("pending %+v", got)
	}
	for id, want := range map[string]ledger.State{first.ID: ledger.Discarded, wrong.ID: ledger.Discarded, right.ID: ledger.Queued} {
		u, err := b.Get(b.ctx, id)
		b.must(err)
		if u.State != want {
			t.Errorf("%s is %s, want %s", id, u.State, want)
		}
	}
	dup := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("wrong")})
	if !dup.Duplicate || dup.State != ledger.Discarded {
		t.Errorf("without --again: %+v", dup)
	}
	again := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("wrong"), Again: true})
	if again.Duplicate || again.State != ledger.Queued || again.ID != wrong.ID {
		t.Errorf("with --again: %+v", again)
	}
}

func TestDiscardNamesTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("first")})
	second := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("second")})
	u, err := b.Discard(b.ctx, first.ID, ledger.Who{})
	b.must(err)
	if u.State != ledger.Discarded || b.kept() != 1 {
		t.Errorf("discarded %+v, %d vouchers left", u, b.kept())
	}
	if got := b.pending(); len(got) != 1 || got[0].ID != second.ID {
		t.Errorf("pending %+v, want the second alone", got)
	}
	if _, err := b.Retry(b.ctx, first.ID, ledger.Who{}); !errors.Is(err, ledger.ErrNotAllowed) {
		t.Errorf("retry of a discarded upload: %v", err)
	}
	if _, err := b.Discard(b.ctx, b.account+"-"+strings.Repeat("a", 26), ledger.Who{}); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("discard of nothing: %v", err)
	}
}

func TestWaitEndsWithTheUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("x")})
	done := make(chan ledger.Upload)
	go func() {
		got, err := b.Wait(b.ctx, u.ID)
		if err != nil {
			t.Error(err)
		}
		done <- got
	}()
	_, err := b.Discard(b.ctx, u.ID, ledger.Who{})
	b.must(err)
	if got := <-done; got.State != ledger.Discarded {
		t.Errorf("waited for %+v", got)
	}
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Millisecond)
	defer cancel()
	other := b.enqueue(tasks.Request{OrderID: "2", Voucher: pdf("x")})
	if got, err := b.Wait(ctx, other.ID); !errors.Is(err, context.DeadlineExceeded) || got.ID != other.ID {
		t.Errorf("waited: %+v %v", got, err)
	}
}

func TestNoRoom(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{MaxMemory: "64mb"})
	rdb := s.Client()
	b := with(t, rdb, blob.NewRedis(rdb), ledger.InlineMost)
	b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("x")})
	b.must(rdb.SetRange(b.ctx, "filler", 54<<20, "x").Err())
	full := tasks.New(tasks.Config{Redis: rdb, Store: b.store, InlineMost: ledger.InlineMost})
	if _, err := full.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: "2", Voucher: pdf("y")}); !errors.Is(err, tasks.ErrNoRoom) {
		t.Errorf("over 80 %%: %v", err)
	}
	b.must(rdb.Del(b.ctx, "filler").Err())
	relieved := tasks.New(tasks.Config{Redis: rdb, Store: b.store, InlineMost: ledger.InlineMost})
	if _, err := relieved.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: "2", Voucher: pdf("y")}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestUnreachableRedisIsNamedInTime(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{Password: "sesame"})
	rdb, err := redisconn.Open(s.URL(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	c := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})
	s.Kill()
	began := time.Now()
	_, err = c.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: pdf("x")})
	var away *tasks.UnreachableError
	if !errors.As(err, &away) || err.Error() != "redis at "+s.Addr+" could not be reached: connection refused" {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 7*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("x")})
	b.must(asynq.NewInspectorFromRedisClient(b.rdb).PauseQueue(ledger.Queue(b.account)))
	accounts, err := b.Accounts(b.ctx)
	b.must(err)
	for _, l := range accounts {
		if l.Account == b.account && l.Breaker == tasks.BreakerClosed && l.Paused && l.Backlog == 1 && l.Uploads[ledger.Queued] == 1 {
			return
		}
	}
	t.Errorf("accounts %+v", accounts)
}

// TestStandbyRedisIsNamed has a producer talk to a replica, which takes no writes.
func TestStandbyRedisIsNamed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{Args: []string{"--replicaof", "127.0.0.1", "1"}})
	rdb := s.Client()
	c := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})
	_, err := c.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: pdf("x")})
	if _, away := errors.AsType[*tasks.UnreachableError](err); !away || !strings.Contains(err.Error(), s.Addr) {
		t.Errorf("error %v", err)
	}
}

// TestRefusalOfTheQueueIsInWords has a user who may write the ledger and not asynq's keys. asynq, which
// puts the task of a voucher in a store, hides such an error.
func TestRefusalOfTheQueueIsInWords(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	if err := s.Client().ACLSetUser(t.Context(), "shop", "on", ">pass", "~voucherd:*", "~asynq:queues", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	rdb, err := redisconn.Open("redis://shop:pass@"+s.Addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	for _, inline := range []int64{0, ledger.InlineMost} {
		c := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: inline})
		_, err = c.Enqueue(t.Context(), tasks.Request{OrderID: strconv.FormatInt(inline, 10), Voucher: pdf("x")})
		var refused *tasks.RefusedError
		if !errors.As(err, &refused) || err.Error() != "redis at "+s.Addr+" refuses to work: its user lacks a permission" {
			t.Errorf("vouchers up to %d with their records: error %v", inline, err)
		}
	}
}

// TestPausedRedisIsNamedInTime has many producers at once meet a Redis that takes connections and
// does not answer.
func TestPausedRedisIsNamedInTime(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	rdb, err := redisconn.Open(s.URL(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	c := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})
	if _, err := c.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: pdf("x")}); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			began := time.Now()
			_, err := c.Enqueue(t.Context(), tasks.Request{OrderID: "2", Voucher: pdf(strings.Repeat("x", i))})
			if _, away := errors.AsType[*tasks.UnreachableError](err); !away {
				t.Errorf("error %v", err)
			}
			if took := time.Since(began); took > 7*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	wg.Wait()
	s.Resume()
}
