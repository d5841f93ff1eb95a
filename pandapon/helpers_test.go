package pandapon_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/voucherd/voucherd/pandapon"
)

const (
	testKey    = "58c0201dfdf148eca63cbf6bb5e7cf03"
	testSecret = "3f1d5c9a7b2e4860917c5d3e8f0a6b42"
	testUser   = "2100007341207"
	testNonce  = "0123456789abcdef0123456789abcdef"
	testOrder  = "1022505290408395575"
	testQuery  = "confidential-query-value"

	success = `{"requestId":"0a4495c23d6d433480d071a1cc308369","code":200,` +
		`"developId":"1021091489188413467","msg":"成功","data":true}`

	// patience is how long a test waits for what must happen.
	patience = 20 * time.Second
	// short is the call limit where a test wants it to run out.
	short = time.Second
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func credentials() pandapon.Credentials {
	return pandapon.Credentials{AccessKey: testKey, Secret: testSecret, UserID: testUser}
}

// newClient returns a client for base, with changes to its settings.
func newClient(tb testing.TB, base string, changes ...func(*pandapon.Config)) *pandapon.Client {
	tb.Helper()
	cfg := pandapon.Config{BaseURL: base, CallTimeout: patience}
	for _, change := range changes {
		change(&cfg)
	}
	client, err := pandapon.NewClient(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return client
}

func within(limit time.Duration) func(*pandapon.Config) {
	return func(cfg *pandapon.Config) { cfg.CallTimeout = limit }
}

// picture returns n bytes that look like nothing in particular, the same ones
// for the same n.
func picture(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.New(rand.NewSource(int64(n))).Read(b) // never fails
	return b
}

func upload(voucher io.Reader, size int64) pandapon.Upload {
	return pandapon.Upload{
		Credentials: credentials(), Nonce: testNonce, OrderID: testOrder, Voucher: voucher, Size: size,
	}
}

func uploadOf(b []byte) pandapon.Upload { return upload(bytes.NewReader(b), int64(len(b))) }

// endless is a voucher larger than any socket buffer.
const endlessSize = 64 << 20

func endless() pandapon.Upload { return upload(io.LimitReader(zeros{}, endlessSize), endlessSize) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// failure asserts that err is a *pandapon.Error of a kind and that nothing
// secret can be read from it. Every failing test goes through it.
func failure(t *testing.T, err error, kind pandapon.Kind) pandapon.Error {
	t.Helper()
	var failed *pandapon.Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a *pandapon.Error", err)
	}
	if failed.Kind != kind {
		t.Fatalf("kind is %q, want %q: %v", failed.Kind, kind, err)
	}
	noLeak(t, err)
	if len(failed.Envelope.Data) > 0 {
		t.Errorf("error keeps data: %s", failed.Envelope.Data)
	}
	return *failed
}

// noLeak walks the whole chain and looks for what must not be seen.
func noLeak(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		marshalled, jsonErr := json.Marshal(err)
		if jsonErr != nil {
			t.Fatal(jsonErr)
		}
		for _, text := range []string{err.Error(), string(marshalled)} {
			for _, hidden := range []string{
				testKey, testSecret, testQuery, `"base64"`, "payCertificate", pandapon.HeaderSignature + "=",
			} {
				if strings.Contains(text, hidden) {
					t.Errorf("%T shows %q: %s", err, hidden, text)
				}
			}
		}
	}
}

// serve runs a handler.
func serve(tb testing.TB, handler http.HandlerFunc) *httptest.Server {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return server
}

// answer drains the request and answers.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// line is a server below HTTP: one that can misbehave on the wire.
type line struct {
	URL   string
	Addr  string
	conns atomic.Int64
	begun atomic.Int64 // requests of which the head arrived
	whole atomic.Int64 // requests of which the body arrived, too
	ended atomic.Int64 // connections that are over
}

// peer is one connection to a line.
type peer struct {
	*net.TCPConn

	line *line
	in   *bufio.Reader
	done <-chan struct{} // the test is over
}

// listen serves each connection with script until it returns; then it closes.
func listen(t *testing.T, script func(*peer)) *line {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{URL: "http://" + listener.Addr().String(), Addr: listener.Addr().String()}
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tcp, ok := conn.(*net.TCPConn)
			if !ok {
				continue
			}
			l.conns.Add(1)
			all.Go(func() {
				defer l.ended.Add(1)
				defer tcp.Close() //nolint:errcheck // the script may have closed it
				script(&peer{TCPConn: tcp, line: l, in: bufio.NewReader(tcp), done: done})
			})
		}
	})
	t.Cleanup(func() {
		close(done)
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	return l
}

// head reads a request without its body. It returns nil when there is none.
func (p *peer) head() *http.Request {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return nil
	}
	p.line.begun.Add(1)
	return r
}

// request reads a whole request. It returns nil when none came whole.
func (p *peer) request() *http.Request {
	r := p.head()
	if r == nil {
		return nil
	}
	if n, err := io.Copy(io.Discard, r.Body); err != nil || n != r.ContentLength {
		return nil
	}
	p.line.whole.Add(1)
	return r
}

func (p *peer) say(s string) { _, _ = io.WriteString(p, s) }

// reset ends the connection with RST.
func (p *peer) reset() {
	_ = p.SetLinger(0)
	_ = p.Close()
}

// hang keeps the connection open until the client or the test ends.
func (p *peer) hang() {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, p.in)
	}()
	select {
	case <-gone:
	case <-p.done:
		_ = p.Close()
		<-gone
	}
}

// stall keeps the connection open without reading from it.
func (p *peer) stall() { <-p.done }

// until waits for a condition, on any goroutine.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("waited in vain: %s", what)
			return
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
