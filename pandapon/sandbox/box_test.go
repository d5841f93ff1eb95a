package sandbox_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the API's signature rule is MD5
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	accessKey  = "58c0201dfdf148eca63cbf6bb5e7cf03"
	secret     = "b1946ac92492d2347c6235b4d2611184"
	userID     = "2100007341207"
	orderID    = "1022505290408395575"
	uploadPath = "/open/order/upload/payCertificate"
)

// box is a sandbox behind a real server, and a caller who knows its secret.
type box struct {
	*sandbox.Sandbox
	url    string
	client *http.Client
}

func account() pandapon.Credentials {
	return pandapon.Credentials{AccessKey: accessKey, Secret: secret, UserID: userID}
}

func newBox(t *testing.T, cfg sandbox.Config, faults ...sandbox.Fault) *box {
	t.Helper()
	if cfg.Credentials == nil {
		cfg.Credentials = []pandapon.Credentials{account()}
	}
	s := sandbox.New(cfg)
	s.SetFaults(faults...)
	server := httptest.NewServer(s)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
		server.Close()
	})
	return &box{s, server.URL, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// sign is the rule written a second time, on purpose: the sandbox must not be checked against the
// code it uses itself.
func sign(key, timestamp, nonce, secret string) string {
	return fmt.Sprintf("%X", md5.Sum([]byte(key+timestamp+nonce+secret))) //nolint:gosec // the API's signature rule is MD5
}

var nonces struct { //nolint:gochecknoglobals // one counter keeps nonces apart in all tests
	sync.Mutex
	n int
}

func nonce() string {
	nonces.Lock()
	defer nonces.Unlock()
	nonces.n++
	return fmt.Sprintf("%032d", nonces.n)
}

// headers are those of a call that is in order at the time now.
func headers(now time.Time) http.Header {
	h := http.Header{}
	timestamp, nonce := strconv.FormatInt(now.UnixMilli(), 10), nonce()
	h.Set("Content-Type", "application/json")
	h.Set("access-key", accessKey)
	h.Set("timestamp", timestamp)
	h.Set("nonce-str", nonce)
	h.Set("user-id", userID)
	h.Set("signature", sign(accessKey, timestamp, nonce, secret))
	return h
}

func uploadBody(order string, voucher []byte) string {
	return fmt.Sprintf(`{"base64":%q,"orderId":%q}`, base64.StdEncoding.EncodeToString(voucher), order)
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// answer is what came back: the envelope with its fields undecoded, so that their JSON types can be
// checked.
type answer struct {
	status int
	header http.Header
	body   []byte
	fields map[string]json.RawMessage
	err    error // of the call or of reading its body
}

func (a answer) text(name string) string { return strings.Trim(string(a.fields[name]), `"`) }

// call sends a request and never fails: what went wrong stands in the answer.
func (b *box) call(ctx context.Context, method, target string, h http.Header, body io.Reader) answer {
	r, err := http.NewRequestWithContext(ctx, method, b.url+target, body)
	if err != nil {
		return answer{err: err}
	}
	r.Header = h
	resp, err := b.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, a.err = io.ReadAll(resp.Body); a.err == nil {
		_ = json.Unmarshal(a.body, &a.fields) // nil fields mean: no envelope
	}
	return a
}

// upload sends a voucher that is in order.
func (b *box) upload(t *testing.T, order string) answer {
	t.Helper()
	return b.call(t.Context(), http.MethodPost, uploadPath, headers(time.Now()), strings.NewReader(uploadBody(order, []byte("receipt"))))
}

// control makes a control call and returns status and body.
func (b *box) control(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	a := b.call(t.Context(), method, path, http.Header{}, strings.NewReader(body))
	if a.err != nil {
		t.Fatalf("%s %s: %v", method, path, a.err)
	}
	return a.status, string(bytes.TrimSpace(a.body))
}

// waitFor waits until the log satisfies the condition.
func (b *box) waitFor(t *testing.T, what string, satisfied func([]sandbox.Request) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Wait(ctx, satisfied); err != nil {
		t.Fatalf("%s: %v; log: %+v", what, err, b.Requests())
	}
}

// only returns the one request of the log, once it is answered.
func (b *box) only(t *testing.T) sandbox.Request {
	t.Helper()
	b.waitFor(t, "one answered request", func(log []sandbox.Request) bool {
		return len(log) > 0 && !log[len(log)-1].AnsweredAt.IsZero()
	})
	log := b.Requests()
	if len(log) != 1 {
		t.Fatalf("log holds %d requests, want 1: %+v", len(log), log)
	}
	return log[0]
}

// clock is a time that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
