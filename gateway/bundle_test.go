package gateway_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the API's signature rule is MD5
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis prints by itself
	os.Exit(redistest.Main(m))
}

const (
	accessKey  = "58c0201dfdf148eca63cbf6bb5e7cf03"
	secret     = "5ec2e75ec2e75ec2e75ec2e75ec2e75e" // #nosec G101 -- a test's own
	userID     = "2100007341207"
	uploadPath = "/open/order/upload/payCertificate"
	waitMost   = 2 * time.Minute
)

// bundle is one test's gateway: an account of its own in the shared Redis, an API of its own, and a
// real listener.
type bundle struct {
	t        testing.TB
	ctx      context.Context //nolint:containedctx // a test's own
	account  string
	rdb      *redis.Client
	ledger   *ledger.Ledger
	store    blob.Store
	inline   int64
	tasks    *tasks.Client
	api      *sandbox.Sandbox
	apiURL   string
	cfg      gateway.Config
	producer string
	operator string
	logs     *observer.ObservedLogs
	gateway  *gateway.Gateway
	url      string
	client   *http.Client
	stop     func() error
}

type option func(*bundle)

func setup(tb testing.TB, opts ...option) *bundle {
	tb.Helper()
	b := &bundle{t: tb, ctx: tb.Context(), account: redistest.Account(tb), rdb: redistest.Client(tb)}
	core, logs := observer.New(zapcore.DebugLevel)
	b.logs = logs
	b.api = sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{{AccessKey: accessKey, Secret: secret}}})
	api := httptest.NewServer(b.api)
	tb.Cleanup(func() { b.api.Close(); api.Close() })
	b.apiURL = api.URL
	b.producer, b.cfg.Tokens = b.token(gateway.Producer, "shop", nil)
	b.operator, b.cfg.Tokens = b.token(gateway.Operator, "ops", b.cfg.Tokens)
	b.cfg.Log = zap.New(core)
	b.cfg.Limits().ShortTime = time.Minute // a page takes its time on a busy machine
	b.cfg.Accounts = []dropin.Account{{
		Name: b.account, BaseURL: b.apiURL,
		Credentials: pandapon.Credentials{AccessKey: accessKey, Secret: secret, UserID: userID},
	}}
	b.store, b.inline = blob.NewRedis(b.rdb), ledger.InlineMost
	for _, o := range opts {
		o(b)
	}
	b.ledger = ledger.New(b.rdb, ledger.Settings{})
	b.tasks = tasks.New(tasks.Config{Redis: b.rdb, Store: b.store, Ledger: b.ledger, InlineMost: b.inline, MaxVoucherBytes: b.cfg.MaxVoucherBytes})
	b.cfg.Tasks = b.tasks
	b.serve()
	return b
}

func (b *bundle) token(role gateway.Role, name string, to []gateway.Token) (string, []gateway.Token) {
	b.t.Helper()
	text, stored, err := gateway.NewToken(role, name)
	b.must(err)
	return text, append(to, stored)
}

// serve starts the gateway, as users run it.
func (b *bundle) serve() {
	b.t.Helper()
	g, err := gateway.New(b.cfg)
	b.must(err)
	b.gateway = g
	l, err := new(net.ListenConfig).Listen(b.ctx, "tcp", "127.0.0.1:0")
	b.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, l) }()
	transport := &http.Transport{}
	b.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	stopped := false
	b.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	scheme := "http://"
	if b.cfg.TLS != nil {
		scheme = "https://"
	}
	b.url = scheme + l.Addr().String()
	b.t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := b.stop(); err != nil {
			b.t.Errorf("serve: %v", err)
		}
	})
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// answer is what the gateway said, read whole.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// call is one request. The path is sent as it stands.
type call struct {
	method, path string
	token        string
	body         io.Reader
	header       http.Header
	host         string
}

// do makes a call and holds its answer against the API's description.
func (b *bundle) do(c call) answer {
	b.t.Helper()
	a, err := b.try(c)
	b.must(err)
	return a
}

func (b *bundle) try(c call) (answer, error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.ctx, c.method, b.url+c.path, c.body)
	b.must(err)
	if c.header != nil {
		req.Header = c.header.Clone()
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Host = c.host
	resp, err := b.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{t: b.t, status: resp.StatusCode, header: resp.Header, body: body}
	b.asDescribed(req, a)
	return a, nil
}

func (b *bundle) get(token, path string) answer {
	b.t.Helper()
	return b.do(call{method: http.MethodGet, path: path, token: token})
}

func (b *bundle) post(token, path string) answer {
	b.t.Helper()
	return b.do(call{method: http.MethodPost, path: path, token: token})
}

// send posts a body.
func (b *bundle) send(token, path, contentType string, body []byte) answer {
	b.t.Helper()
	return b.do(call{
		method: http.MethodPost, path: path, token: token, body: bytes.NewReader(body), header: http.Header{"Content-Type": {contentType}},
	})
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("answer %d %s, want %d", a.status, a.body, status)
	}
	return a
}

// problem checks that the answer is a problem of this kind, and gives its sentence.
func (a answer) problem(status int, kind string) string {
	a.t.Helper()
	a.want(status)
	var p struct{ Type, Detail string }
	a.read(&p)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" || p.Type != "urn:voucherd:problem:"+kind {
		a.t.Fatalf("answer %s %s, want the problem %s", got, a.body, kind)
	}
	return p.Detail
}

func (a answer) read(into any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		a.t.Fatalf("read %s: %v", a.body, err)
	}
}

func (a answer) upload() ledger.Upload {
	a.t.Helper()
	var u ledger.Upload
	a.read(&u)
	return u
}

// envelope is PandaPon's, read as its page describes it.
type envelope struct {
	RequestID string `json:"requestId"`
	Code      int    `json:"code"`
	DevelopID string `json:"developId"`
	Msg       string `json:"msg"`
	Data      any    `json:"data"`
}

func (a answer) envelope() envelope {
	a.t.Helper()
	var e envelope
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		a.t.Fatalf("read %s: %v", a.body, err)
	}
	return e
}

// png gives a picture of a size, different for each name.
func png(name string, size int) []byte {
	p := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), name...)
	for i := len(p); i < size; i++ {
		p = append(p, byte(i*7&0xff), byte(i>>8&0xff))
	}
	return p[:size]
}

// raw enqueues a voucher and gives its upload.
func (b *bundle) raw(order string, voucher []byte) ledger.Upload {
	b.t.Helper()
	return b.send(b.producer, "/v1/uploads?orderId="+order, "image/png", voucher).want(http.StatusAccepted).upload()
}

// stored gives what the blob store holds of an upload.
func (b *bundle) stored(id string) []byte {
	b.t.Helper()
	u, err := b.tasks.Get(b.ctx, id)
	b.must(err)
	r, err := b.tasks.Voucher(b.ctx, u)
	b.must(err)
	defer r.Close()
	all, err := io.ReadAll(r)
	b.must(err)
	return all
}

// empty checks that nothing of the account was stored, but for keys with these ends: no key of ledger,
// blob store or queue.
func (b *bundle) empty(but ...string) {
	b.t.Helper()
	keys, err := b.rdb.Keys(b.ctx, "*vouchers-"+b.account+"}*").Result()
	b.must(err)
	keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(but, key[strings.LastIndexByte(key, ':')+1:]) })
	if len(keys) > 0 {
		b.t.Fatalf("stored although refused: %q", keys)
	}
}

// sign makes the headers of a call as the API's manual has them, without the package under test.
func sign(key, secret, user, nonce string, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	sum := md5.Sum([]byte(key + stamp + nonce + secret)) //nolint:gosec // see above
	h := http.Header{
		"Access-Key": {key}, "Timestamp": {stamp}, "User-Id": {user}, "Content-Type": {"application/json"},
		"Signature": {strings.ToUpper(hex.EncodeToString(sum[:]))},
	}
	if nonce != "" {
		h.Set("Nonce-Str", nonce)
	}
	return h
}

func signed() http.Header {
	return sign(accessKey, secret, userID, "0123456789abcdef0123456789abcdef", time.Now())
}

// requestLines are the access log's, once there are at least n.
func (b *bundle) requestLines(n int) []observer.LoggedEntry {
	b.t.Helper()
	var lines []observer.LoggedEntry
	b.eventually("access log lines", func() bool {
		lines = b.logs.FilterMessage("http.request").All()
		return len(lines) >= n
	})
	return lines
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

// logged gives all that was logged, as text.
func (b *bundle) logged() string {
	b.t.Helper()
	var all strings.Builder
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range b.logs.All() {
		line, err := encoder.EncodeEntry(e.Entry, e.Context)
		b.must(err)
		all.Write(line.Bytes())
	}
	return all.String()
}

func without(tokens []gateway.Token) option {
	return func(b *bundle) { b.cfg.Tokens = tokens }
}

func orders(us []ledger.Upload) []string {
	var all []string
	for _, u := range us {
		all = append(all, u.OrderID)
	}
	slices.Sort(all)
	return all
}
