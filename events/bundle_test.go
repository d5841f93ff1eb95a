package events_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

const (
	waitMost = time.Minute
	secret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // #nosec G101 -- a test's own
	other    = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" // #nosec G101 -- a test's own
)

// bundle is one test's account, its webhooks, and who receives them.
type bundle struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // a test's own
	rdb     *redis.Client
	ledger  *ledger.Ledger
	account string
	to      *receiver
	hook    events.Webhook
	set     events.Settings
	logs    *observer.ObservedLogs
	log     *zap.Logger
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, ctx: t.Context(), rdb: redistest.Client(t), account: redistest.Account(t), to: receive(t)}
	b.ledger = ledger.New(b.rdb, ledger.Settings{Breaker: ledger.BreakerSettings{OutageRow: 1}})
	core, logs := observer.New(zapcore.InfoLevel)
	b.log, b.logs = zap.New(core), logs
	secrets, err := events.ParseSecrets(secret)
	b.must(err)
	b.hook = events.Webhook{Account: b.account, URL: b.to.url, Secrets: secrets, AllowPrivate: true}
	b.set = events.Settings{
		Poll: 10 * time.Millisecond, Timeout: 300 * time.Millisecond, Backoff: 5 * time.Millisecond, Longest: 50 * time.Millisecond,
		DownFor: 50 * time.Millisecond,
	}
	return b
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) sender() *events.Sender {
	return events.NewSender(events.Config{
		Redis: b.rdb, Ledger: b.ledger, Log: b.log, Webhooks: []events.Webhook{b.hook}, Agent: "voucherd/test", Settings: b.set,
	})
}

// start sends until the test ends, or the function that it gives is called.
func (b *bundle) start() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan struct{})
	s := b.sender()
	go func() { defer close(done); s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	b.t.Cleanup(stop)
	return stop
}

// ready waits until webhooks have begun: what ended before is not told.
func (b *bundle) ready() {
	b.t.Helper()
	b.eventually("the beginning", func() bool { _, ok := b.status(); return ok })
}

func (b *bundle) status() (events.Status, bool) {
	b.t.Helper()
	s, ok, err := events.ReadStatus(b.ctx, b.rdb, b.ledger, b.account)
	b.must(err)
	return s, ok
}

func (b *bundle) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(waitMost)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s", what)
		}
		<-tick.C
	}
}

// end opens the n-th upload of an order and lets an attempt come to this.
func (b *bundle) end(order string, n int, o ledger.AttemptResult) string {
	b.t.Helper()
	sum := sha256.Sum256([]byte(order + "/" + strconv.Itoa(n)))
	opened, err := b.ledger.Open(b.ctx, ledger.NewUpload{
		Account: b.account, OrderID: order, SHA256: hex.EncodeToString(sum[:]), Size: 1, MediaType: "image/png", StoreKey: order,
		Reference: strconv.Itoa(n),
	})
	if err != nil {
		b.t.Error(err)
		return ""
	}
	g, err := b.ledger.Begin(b.ctx, ledger.NewAttempt{
		ID: opened.ID, Generation: opened.Generation, Nonce: opened.ID, Worker: "w", Lease: time.Minute,
	})
	if err != nil || g.Answer != ledger.Started {
		b.t.Errorf("begin: %+v %v", g, err)
		return ""
	}
	if _, err = b.ledger.Finish(b.ctx, g.Running, o); err != nil {
		b.t.Error(err)
	}
	return opened.ID
}

func delivered() ledger.AttemptResult {
	return ledger.AttemptResult{Outcome: ledger.OutcomeDelivered, HTTPStatus: 200, Code: "200", RequestID: "r", Next: ledger.Delivered}
}

func rejected() ledger.AttemptResult {
	return ledger.AttemptResult{
		Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: "4711", Fault: ledger.FaultFinal, Next: ledger.Rejected,
	}
}

func unavailable() ledger.AttemptResult {
	return ledger.AttemptResult{Outcome: ledger.OutcomeUnavailable, HTTPStatus: 503, Next: ledger.Waiting}
}

// receiver is a backend that verifies as the specification's own library does.
type receiver struct {
	t    *testing.T
	addr string
	url  string

	mu     sync.Mutex
	server *http.Server
	verify *standardwebhooks.Webhook
	answer func(w http.ResponseWriter, r *http.Request, e events.Event) bool // says whether it took the event; nil: it does
	calls  int
	took   []events.Event // each once, in the order of their first arrival
	seen   map[string]bool
	agents []string

	repeated int // events that were taken again
}

func receive(t *testing.T) *receiver {
	t.Helper()
	v, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{t: t, verify: v, seen: map[string]bool{}}
	r.up("127.0.0.1:0")
	t.Cleanup(r.down)
	return r
}

func (r *receiver) up(addr string) {
	r.t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	s := &http.Server{Handler: r, ReadHeaderTimeout: time.Second}
	r.mu.Lock()
	r.addr, r.url, r.server = l.Addr().String(), "http://"+l.Addr().String()+"/hook", s
	r.mu.Unlock()
	go func() { _ = s.Serve(l) }()
}

func (r *receiver) down() {
	r.mu.Lock()
	s := r.server
	r.mu.Unlock()
	_ = s.Close()
}

func (r *receiver) answers(f func(w http.ResponseWriter, r *http.Request, e events.Event) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var e events.Event
	if err == nil {
		err = r.verify.Verify(body, req.Header)
	}
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if err != nil || e.ID != req.Header.Get(standardwebhooks.HeaderWebhookID) {
		r.t.Errorf("a call that does not verify: %v %s", err, body)
	}
	r.mu.Lock()
	r.calls++
	r.agents = append(r.agents, req.UserAgent())
	answer := r.answer
	r.mu.Unlock()
	if answer != nil && !answer(w, req, e) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[e.ID] {
		r.repeated++
	} else {
		r.seen[e.ID], r.took = true, append(r.took, e)
	}
}

// events are those that were taken, each once, in the order of their first arrival.
func (r *receiver) events() []events.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

// arrived is how many were taken.
func (r *receiver) arrived() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.took)
}

// again is how many were taken that had been taken before.
func (r *receiver) again() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repeated
}

func (r *receiver) called() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func types(es []events.Event) []events.Type {
	var all []events.Type
	for _, e := range es {
		all = append(all, e.Type)
	}
	return all
}

// nextMillisecond waits until what ends is later than what has ended.
func (b *bundle) nextMillisecond() {
	b.t.Helper()
	now, err := b.ledger.Now(b.ctx, b.account)
	b.must(err)
	b.eventually("the next millisecond", func() bool {
		later, err := b.ledger.Now(b.ctx, b.account)
		b.must(err)
		return later.After(now.Time)
	})
}
