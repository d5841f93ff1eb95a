package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
	"github.com/voucherd/voucherd/worker"
)

func TestMain(m *testing.M) {
	os.Exit(redistest.Main(m))
}

const (
	secret   = "5ec2e75ec2e75ec2e75ec2e75ec2e75e" // #nosec G101 -- a test's own
	waitMost = 75 * time.Second                   // longer than a lease of asynq, which a killed Redis leaves behind
)

// bundle is one test's account: its own queue in the shared Redis, and its own API.
type bundle struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // a test's own
	account string
	redis   func() *redis.Client // a new client of the test's Redis
	rdb     *redis.Client
	ledger  *ledger.Ledger
	store   blob.Store
	client  *tasks.Client
	api     *sandbox.Sandbox
	url     string
	creds   pandapon.Credentials
	logs    *observer.ObservedLogs
	log     *zap.Logger
	ls      ledger.Settings
	policy  worker.Policy
	set     worker.Settings
	conc    int
	rate    ledger.Rate
	keys    blob.Keys
	inline  int64 // most bytes of a voucher that is kept with its record
}

type option func(*bundle)

// setup makes an account with compressed schedules; only settings differ from what users run.
func setup(t *testing.T, opts ...option) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	b := &bundle{
		t: t, ctx: ctx, account: redistest.Account(t), redis: func() *redis.Client { return redistest.Client(t) }, conc: 4,
		creds: pandapon.Credentials{AccessKey: "58c0201dfdf148eca63cbf6bb5e7cf03", Secret: secret, UserID: "2100007341207"},
		ls: ledger.Settings{
			Grace: time.Second,
			Breaker: ledger.BreakerSettings{
				OutageBase: 100 * time.Millisecond, OutageMax: 400 * time.Millisecond,
				ProbeBase: 100 * time.Millisecond, ProbeMax: 400 * time.Millisecond, ThrottleBase: 200 * time.Millisecond,
			},
		},
		policy: worker.Policy{
			Short: []time.Duration{100 * time.Millisecond}, Long: []time.Duration{100 * time.Millisecond},
			RetryAfterMin: 50 * time.Millisecond,
		},
		set: worker.Settings{
			CallTimeout: 5 * time.Second, PollEvery: 20 * time.Millisecond, ReconcileEvery: 200 * time.Millisecond,
			RedisPause: 50 * time.Millisecond,
		},
	}
	core, logs := observer.New(zapcore.DebugLevel)
	b.logs, b.log = logs, zap.New(core)
	b.api = sandbox.New(sandbox.Config{
		Credentials: []pandapon.Credentials{{AccessKey: b.creds.AccessKey, Secret: b.creds.Secret}}, CheckNonce: true,
	})
	server := httptest.NewServer(b.api)
	t.Cleanup(func() { b.api.Close(); server.Close() })
	b.url = server.URL
	for _, o := range opts {
		o(b)
	}
	b.rdb = b.redis()
	b.ledger = ledger.New(b.rdb, b.ls)
	if b.store == nil {
		b.store, b.inline = blob.NewRedis(b.rdb), ledger.InlineMost
	}
	b.client = tasks.New(tasks.Config{Redis: b.rdb, Store: b.store, Keys: b.keys, Ledger: b.ledger, InlineMost: b.inline, Retention: b.set.TaskRetention})
	return b
}

// start runs a worker until the test ends or stop is called.
func (b *bundle) start(name string) (stop func()) {
	b.t.Helper()
	w, api := b.make(name)
	end := b.run(name, w)
	return func() { end(); api.Close() }
}

// voucher makes a small PNG-like file that differs with n.
func voucher(n int) []byte {
	return append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), fmt.Sprintf("receipt %d", n)...)
}

func (b *bundle) enqueue(order string, n int) ledger.Upload {
	b.t.Helper()
	u, err := b.client.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: order, Voucher: bytes.NewReader(voucher(n))})
	b.must(err)
	return u
}

// many enqueues one voucher for each of n orders.
func (b *bundle) many(n int) []string {
	b.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = b.enqueue(fmt.Sprintf("order-%d", i), i).ID
	}
	return ids
}

// eventually waits for a condition.
func (b *bundle) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.NewTimer(waitMost)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			b.explain()
			b.t.Fatalf("waited %v for: %s", waitMost, what)
		case <-tick.C:
		}
	}
}

func (b *bundle) get(id string) ledger.Upload {
	b.t.Helper()
	u, err := b.client.Get(b.ctx, id)
	b.must(err)
	return u
}

// reaches waits until every upload is in the state.
func (b *bundle) reaches(s ledger.State, ids ...string) {
	b.t.Helper()
	left := slices.Clone(ids)
	b.eventually(fmt.Sprintf("%d uploads %s", len(ids), s), func() bool {
		for len(left) > 0 {
			u, err := b.client.Get(b.ctx, left[0])
			if err != nil || u.State != s {
				return false
			}
			left = left[1:]
		}
		return true
	})
}

func (b *bundle) breakerReason() string {
	b.t.Helper()
	g, err := b.ledger.Breaker(b.ctx, b.account)
	b.must(err)
	return g.Reason
}

func (b *bundle) outcomes(id string) []ledger.Outcome {
	b.t.Helper()
	var vs []ledger.Outcome
	for _, a := range b.get(id).Attempts {
		vs = append(vs, a.Outcome)
	}
	return vs
}

// agree holds the ledger against the API's own log: every request stands as an attempt, found by
// its nonce, and every request id that the API gave is found.
func (b *bundle) agree(ids ...string) {
	b.t.Helper()
	nonces := map[string]bool{}
	for _, id := range ids {
		for _, a := range b.get(id).Attempts {
			nonces[a.Nonce] = true
		}
	}
	for _, r := range b.api.Requests() {
		if r.Nonce == "" {
			continue // cut off before its headers
		}
		if !nonces[r.Nonce] {
			b.t.Errorf("the API saw request %d with nonce %s, which is no attempt of the ledger", r.Number, r.Nonce)
		}
	}
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestDelivers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.enqueue("1022505290408395575", 1)
	b.start("w1")
	b.reaches(ledger.Delivered, u.ID)
	got := b.get(u.ID)
	reqs := b.api.Requests()
	if len(reqs) != 1 || reqs[0].SHA256 != u.SHA256 || reqs[0].OrderID != "1022505290408395575" || !reqs[0].Accepted {
		t.Fatalf("the API saw %+v", reqs)
	}
	if got.RequestID != reqs[0].RequestID || got.Attempts[0].Nonce != reqs[0].Nonce || got.Attempts[0].Worker != "w1" {
		t.Fatalf("the ledger has %+v, the API %+v", got, reqs[0])
	}
	b.eventually("the voucher leaves the blob store", func() bool { return !b.get(u.ID).Kept() })
	keys, err := b.rdb.Keys(b.ctx, "voucherd:{vouchers-"+b.account+"}:[bv]:*").Result()
	b.must(err)
	if len(keys) != 0 {
		t.Errorf("left in the blob store: %v", keys)
	}
}

func TestTwoWorkersWithOneTaskSendOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start("w1")
	b.start("w2")
	ids := b.many(40)
	// Putting every task again, as a producer does whose reply was lost, changes nothing.
	for i := range ids {
		b.enqueue(fmt.Sprintf("order-%d", i), i)
	}
	b.reaches(ledger.Delivered, ids...)
	b.agree(ids...)
	if n := len(b.api.Requests()); n != len(ids) {
		t.Errorf("the API saw %d requests for %d uploads", n, len(ids))
	}
}

func TestOrderQueueKeepsItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start("w1")
	b.start("w2")
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage, Probability: 0.3})
	var ids []string
	for i := range 12 {
		ids = append(ids, b.enqueue("the-order", i).ID)
	}
	b.reaches(ledger.Delivered, ids...)
	var accepted []string
	for _, r := range b.api.Requests() {
		if r.Accepted {
			accepted = append(accepted, r.SHA256)
		}
	}
	var want []string
	for _, id := range ids {
		want = append(want, b.get(id).SHA256)
	}
	if !slices.Equal(accepted, want) {
		t.Errorf("arrived as %v, want %v", accepted, want)
	}
	b.agree(ids...)
}
