package worker_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
	"github.com/voucherd/voucherd/worker"
)

// live is a worker whose accounts change while it runs.
type live struct {
	*bundle
	*worker.Worker

	api    *pandapon.Client
	now    worker.AccountConfig
	second string // the name of an account that it does not have
}

func goLive(t *testing.T, opts ...option) *live {
	t.Helper()
	b := setup(t, opts...)
	w, api := b.make("w1")
	b.run("w1", w)
	b.eventually("it runs", func() bool { return w.Ready(b.ctx) == nil })
	return &live{
		bundle: b, Worker: w, api: api, second: "2nd" + redistest.Account(t)[3:],
		now: worker.AccountConfig{Name: b.account, Credentials: b.creds, API: api, Concurrency: b.conc, Rate: b.rate},
	}
}

// with gives the account in another form.
func (l *live) with(change func(*worker.AccountConfig)) worker.AccountConfig {
	ac := l.now
	change(&ac)
	return ac
}

func (l *live) enqueueFor(account string, n int) string {
	l.t.Helper()
	u, err := l.client.Enqueue(l.ctx, tasks.Request{Account: account, OrderID: fmt.Sprintf("%s-%d", account, n), Voucher: bytes.NewReader(voucher(n))})
	l.must(err)
	return u.ID
}

func TestAnAccountThatIsAddedDelivers(t *testing.T) {
	t.Parallel()
	l := goLive(t)
	id := l.enqueueFor(l.second, 1)
	began := time.Now()
	other := l.with(func(ac *worker.AccountConfig) { ac.Name = l.second })
	l.must(l.SetAccounts(l.ctx, []worker.AccountConfig{l.now, other}))
	l.reaches(ledger.Delivered, id)
	t.Logf("delivered after %v", time.Since(began))
	id = l.enqueueFor(l.second, 2)
	l.reaches(ledger.Delivered, id, l.enqueue("as-before", 3).ID)
}

func TestAnAccountThatIsRemovedFinishesItsCalls(t *testing.T) {
	t.Parallel()
	l := goLive(t, longCalls, func(b *bundle) { b.conc = 1 })
	l.api.Close()
	ids := l.many(3)
	l.eventually("a call is under way", func() bool { return len(l.bundle.api.Requests()) == 1 })
	other := l.with(func(ac *worker.AccountConfig) { ac.Name = l.second })
	l.must(l.SetAccounts(l.ctx, []worker.AccountConfig{other}))
	l.eventually("the call has ended", func() bool { return l.finished(ids) == 1 })
	l.bundle.api.SetFaults()
	l.reaches(ledger.Delivered, l.enqueueFor(l.second, 9))
	l.eventually("its task has ended", func() bool { return l.queued() == 2 })
	if n, calls := l.finished(ids), len(l.bundle.api.Requests()); n != 1 || calls != 2 {
		t.Fatalf("%d delivered, %d calls, want 1 and 2", n, calls)
	}
	l.must(l.SetAccounts(l.ctx, []worker.AccountConfig{l.now}))
	l.reaches(ledger.Delivered, ids...)
	for _, id := range ids {
		if vs := l.outcomes(id); len(vs) != 1 {
			t.Errorf("attempts of %s: %v", id, vs)
		}
	}
}

// finished counts the delivered.
func (l *live) finished(ids []string) (n int) {
	l.t.Helper()
	for _, id := range ids {
		if l.get(id).State == ledger.Delivered {
			n++
		}
	}
	return n
}

// TestASecretThatIsResetCostsNoUploadARefusal has the API refuse the secret, until the worker has
// another. The breaker's next probe would be an hour away.
func TestASecretThatIsResetCostsNoUploadARefusal(t *testing.T) {
	t.Parallel()
	l := goLive(t, func(b *bundle) { b.ls.Breaker.ProbeBase, b.ls.Breaker.ProbeMax = time.Hour, time.Hour })
	before := l.enqueue("before", 1000).ID
	l.reaches(ledger.Delivered, before)
	const reset = "a-new-5ec2e7" // #nosec G101 -- a test's own
	l.bundle.api.SetCredentials(pandapon.Credentials{AccessKey: l.creds.AccessKey, Secret: reset})
	ids := l.many(20)
	l.eventually("the breaker is open", func() bool { return l.breakerReason() == "credentials" })
	l.must(l.SetAccounts(l.ctx, []worker.AccountConfig{l.with(func(ac *worker.AccountConfig) { ac.Credentials.Secret = reset })}))
	l.reaches(ledger.Delivered, ids...)
	for _, id := range ids {
		if n := l.get(id).Refusals; n != 0 {
			t.Errorf("upload %s has %d refusals", id, n)
		}
	}
	l.agree(append(ids, before)...)
}

func TestConcurrencyAndRateChange(t *testing.T) {
	t.Parallel()
	l := goLive(t, func(b *bundle) { b.rate = ledger.Rate{Calls: 1, Per: time.Hour} })
	ids := l.many(30)
	l.eventually("one is delivered", func() bool { return l.finished(ids) == 1 })
	changed := l.with(func(ac *worker.AccountConfig) {
		ac.Concurrency, ac.Rate = 40, ledger.Rate{Calls: 100, Per: time.Second}
	})
	l.must(l.SetAccounts(l.ctx, []worker.AccountConfig{changed}))
	l.reaches(ledger.Delivered, ids...)
	l.must(l.SetAccounts(l.ctx, []worker.AccountConfig{changed}))
	if n := l.logs.FilterMessage("worker.accounts_changed").Len(); n != 1 {
		t.Errorf("%d changes, want 1", n)
	}
}

func TestAccountsThatAreWrongChangeNothing(t *testing.T) {
	t.Parallel()
	l := goLive(t)
	if err := l.SetAccounts(l.ctx, []worker.AccountConfig{l.with(func(ac *worker.AccountConfig) { ac.Name = "No Name" })}); err == nil {
		t.Error("it took an account with a wrong name")
	}
	l.must(l.rdb.Set(l.ctx, "voucherd:{"+ledger.Queue(l.second)+"}:store", "another", 0).Err())
	if err := l.SetAccounts(l.ctx, []worker.AccountConfig{l.with(func(ac *worker.AccountConfig) { ac.Name = l.second })}); err == nil {
		t.Error("it took an account whose vouchers lie in another store")
	}
	l.reaches(ledger.Delivered, l.enqueue("o", 1).ID)
}
