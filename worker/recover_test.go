package worker_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
	"github.com/voucherd/voucherd/worker"
)

// inFiles gives the test a blob store in a directory, which the test can take away.
func inFiles(v **flaky) option {
	return func(b *bundle) {
		dir, err := blob.OpenDir(b.ctx, b.t.TempDir())
		b.must(err)
		*v = &flaky{Store: dir}
		b.store = *v
	}
}

func (f *flaky) Identity(ctx context.Context) (string, error) {
	if f.gone.Load() {
		return "", errAway
	}
	return f.Store.Identity(ctx)
}

func (f *flaky) Check(ctx context.Context) error {
	if f.gone.Load() {
		return errAway
	}
	return f.Store.Check(ctx)
}

func (f *flaky) Delete(ctx context.Context, keys ...string) error {
	if f.stuck.Load() {
		return errAway
	}
	return f.Store.Delete(ctx, keys...)
}

func (f *flaky) Retire(ctx context.Context, vouchers ...blob.Retired) error {
	if f.stuck.Load() {
		return errAway
	}
	return f.Store.Retire(ctx, vouchers...)
}

func (f *flaky) Note(ctx context.Context, key string, n blob.Note) error {
	if f.stuck.Load() {
		return errAway
	}
	return f.Store.Note(ctx, key, n)
}

// TestUnclaimedVouchers lets producers die on their way: after Put, and between Open and Claim.
func TestUnclaimedVouchers(t *testing.T) {
	t.Parallel()
	var v *flaky
	b := setup(t, inFiles(&v), func(b *bundle) { b.set.OrphanAge = time.Millisecond })
	put := func(order string, n int) blob.Entry {
		e, err := b.store.Put(b.ctx, blob.Meta{Account: b.account, OrderID: order, MediaType: "image/png"}, bytes.NewReader(voucher(n)))
		b.must(err)
		return e
	}
	put("order-1", 1)
	e := put("order-2", 2)
	o, err := b.ledger.Open(b.ctx, ledger.NewUpload{
		Account: b.account, OrderID: "order-2", SHA256: e.SHA256, CRC32C: e.CRC32C, Size: e.Size, MediaType: "image/png", StoreKey: e.Key,
	})
	b.must(err)
	// The API is away, so that the second is not delivered before the reconciler has looked at it.
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	b.start("w1")
	b.eventually("no voucher is unclaimed", func() bool {
		left, err := b.store.Unclaimed(b.ctx, b.account, 0, 10)
		b.must(err)
		return len(left) == 0
	})
	b.api.SetFaults()
	b.reaches(ledger.Delivered, o.ID)
	for _, r := range b.api.Requests() {
		if r.OrderID == "order-1" {
			t.Error("a voucher was sent that nobody was told is accepted")
		}
	}
}

// TestVoucherThatWillNotLeave keeps the blob store from deleting: what the sweeper cannot take the
// reconciler takes later.
func TestVoucherThatWillNotLeave(t *testing.T) {
	t.Parallel()
	var v *flaky
	b := setup(t, inFiles(&v), func(b *bundle) { b.policy.CodesFinal = []string{"4242"} })
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: 4242, OrderID: "order-0"})
	v.stuck.Store(true)
	ids := b.many(3)
	b.start("w1")
	b.reaches(ledger.Rejected, ids[0])
	b.reaches(ledger.Delivered, ids[1:]...)
	b.eventually("the worker says so", func() bool { return b.logs.FilterMessage("store.unreachable").Len() > 0 })
	v.stuck.Store(false)
	b.eventually("only the rejected upload holds its voucher", func() bool {
		return b.get(ids[0]).StoreKey != "" && b.get(ids[1]).StoreKey == "" && b.get(ids[2]).StoreKey == ""
	})
}

// TestStartsBeforeItsStore starts a worker while its blob store is away.
func TestStartsBeforeItsStore(t *testing.T) {
	t.Parallel()
	var v *flaky
	b := setup(t, inFiles(&v))
	id := b.enqueue("order", 1).ID
	v.gone.Store(true)
	w := b.worker("w1")
	b.eventually("the worker waits for it", func() bool { return b.logs.FilterMessage("worker.waiting").Len() > 0 })
	if err := w.Ready(b.ctx); !errors.Is(err, errAway) {
		t.Errorf("ready while the blob store is away: %v", err)
	}
	v.gone.Store(false)
	b.eventually("the worker is ready", func() bool { return w.Ready(b.ctx) == nil })
	b.reaches(ledger.Delivered, id)
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	if err := w.Ready(over); err == nil {
		t.Error("ready without an answer of Redis")
	}
}

// TestStopsWhileItWaits stops a worker that has not found its blob store yet.
func TestStopsWhileItWaits(t *testing.T) {
	t.Parallel()
	var v *flaky
	b := setup(t, inFiles(&v))
	v.gone.Store(true)
	stop := b.start("w1")
	b.eventually("the worker waits for it", func() bool { return b.logs.FilterMessage("worker.waiting").Len() > 0 })
	stop()
}

// TestRefusesAnotherStore keeps a worker from an account whose vouchers lie elsewhere.
func TestRefusesAnotherStore(t *testing.T) {
	t.Parallel()
	var v *flaky
	b := setup(t, inFiles(&v))
	b.enqueue("order", 1)
	elsewhere, err := blob.OpenDir(b.ctx, t.TempDir())
	b.must(err)
	b.store, b.client = elsewhere, tasks.New(tasks.Config{Redis: b.redis(), Store: elsewhere, Ledger: b.ledger})
	w, _ := b.make("w1")
	if err := w.Run(b.ctx); !errors.Is(err, ledger.ErrOtherStore) {
		t.Errorf("a worker with another blob store: %v", err)
	}
	if err := w.Ready(b.ctx); err == nil {
		t.Error("ready without running")
	}
}

// TestOutcomeThatCannotBeRecorded kills Redis during a call, for good: the log is all that is left
// of the outcome.
func TestOutcomeThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}), longCalls, func(b *bundle) {
		b.set.RedisTimeout, b.set.FinishPatience = 200*time.Millisecond, 400*time.Millisecond
	})
	b.enqueue("order", 1)
	stop := b.start("w1")
	b.eventually("the call is under way", func() bool { return len(b.api.Requests()) == 1 })
	s.Kill()
	lost := func() int { return b.logs.FilterMessage("upload.outcome_not_recorded").Len() }
	b.eventually("the outcome is in the log", func() bool { return lost() == 1 })
	stop()
	line := b.logs.FilterMessage("upload.outcome_not_recorded").All()[0].ContextMap()
	request := b.api.Requests()[0]
	if line["request_id"] != request.RequestID || line["nonce"] != request.Nonce || line["outcome"] != "delivered" {
		t.Errorf("the log has %v of request %+v", line, request)
	}
	s.Restart() // for the end of the test
}

// TestRunningAttemptsAreGivenUpOn stops a worker whose call does not end in time.
func TestRunningAttemptsAreGivenUpOn(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.set.ShutdownTimeout = 200 * time.Millisecond })
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(time.Second)})
	id := b.enqueue("order", 1).ID
	stop := b.start("w1")
	b.eventually("the call is under way", func() bool { return len(b.api.Requests()) == 1 })
	stop()
	if b.logs.FilterMessage("asynq").Len() == 0 {
		t.Error("asynq's own messages are not in the log")
	}
	b.api.SetFaults()
	b.start("w2")
	b.reaches(ledger.Delivered, id)
	for _, e := range b.logs.All() {
		if strings.Contains(e.Message, secret) {
			t.Error("the secret is in the log")
		}
	}
}

// make makes a worker that does not run yet.
func (b *bundle) make(name string) (*worker.Worker, *pandapon.Client) {
	b.t.Helper()
	api, err := pandapon.NewClient(pandapon.Config{BaseURL: b.url, CallTimeout: b.set.CallTimeout})
	b.must(err)
	b.t.Cleanup(api.Close)
	set := b.set
	set.Name = name
	w, err := worker.New(worker.Config{
		QueueRedis: b.redis(), Ledger: b.ledger, Store: b.store, Keys: b.keys, Tasks: b.client, Log: b.log, Policy: b.policy, Settings: set,
		Accounts: []worker.AccountConfig{{Name: b.account, Credentials: b.creds, API: api, Concurrency: b.conc, Rate: b.rate}},
	})
	b.must(err)
	return w, api
}

// worker runs a worker until the test ends.
func (b *bundle) worker(name string) *worker.Worker {
	b.t.Helper()
	w, _ := b.make(name)
	b.run(name, w)
	return w
}

// run runs a worker until the test ends or stop is called.
func (b *bundle) run(name string, w *worker.Worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("worker %s: %v", name, err)
		}
	}
	b.t.Cleanup(stop)
	return stop
}
