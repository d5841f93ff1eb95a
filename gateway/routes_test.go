package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		method, path string
		status       int
		kind, allow  string
	}{
		{"GET", "/nothing", 404, "not-found", ""},
		{"GET", "/v1", 404, "not-found", ""},
		{"GET", "/v1/uploads/a/b/c", 404, "not-found", ""},
		{"GET", "/metrics", 404, "not-found", ""}, // none was given
		{"PUT", "/v1/uploads", 405, "method-not-allowed", "GET, HEAD, POST"},
		{"DELETE", "/v1/uploads/x", 405, "method-not-allowed", "GET, HEAD"},
		{"GET", "/v1/uploads/x/retry", 405, "method-not-allowed", "POST"},
		{"POST", "/livez", 405, "method-not-allowed", "GET, HEAD"},
		{"GET", "/v1/uploads/no-such", 404, "not-found", ""},
		{"GET", "/v1/uploads/%2e%2e%2fx", 404, "not-found", ""},
		{"GET", "/v1/uploads/" + strings.Repeat("x", 5000), 404, "not-found", ""},
	} {
		a := b.do(call{method: c.method, path: c.path, token: b.operator})
		a.problem(c.status, c.kind)
		if got := a.header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
}

func TestSecurityHeadersOnEveryOwnAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/", "/v1/accounts", "/nothing", "/livez", "/openapi.json"} {
		for _, token := range []string{"", b.operator} {
			h := b.get(token, path).header
			if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
				t.Errorf("%s: policy %q", path, h.Get("Content-Security-Policy"))
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
				"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "same-origin",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %s %q, want %q", path, name, got, want)
				}
			}
			if h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s lets other sites read", path)
			}
		}
	}
}

func TestOneAccessLineARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.raw("77", png("x", 90))
	b.get("", "/v1/uploads?token="+b.operator)
	b.get(b.producer, "/livez")
	lines := b.requestLines(3)
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	got := lines[0].ContextMap()
	for name, want := range map[string]any{
		"method": "POST", "path": "/v1/uploads", "status": int64(202), "token_name": "shop", "role": "producer",
		"upload_id": u.ID, "order_id": "77", "account": b.account, "client": "127.0.0.1",
	} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	if lines[0].Level != zapcore.InfoLevel || lines[2].Level != zapcore.DebugLevel {
		t.Errorf("levels %s and %s", lines[0].Level, lines[2].Level)
	}
	if strings.Contains(b.logged(), "token=") {
		t.Error("a query stands in the log")
	}
}

// That a caller left is no fault of ours: it counts as no 5xx, and warns nobody.
func TestACallerThatLeftIsNoFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gone, leave := context.WithCancel(b.ctx)
	leave()
	for _, path := range []string{"/v1/uploads", "/uploads"} {
		r := httptest.NewRequestWithContext(gone, http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+b.producer)
		b.gateway.ServeHTTP(httptest.NewRecorder(), r)
		lines := b.logs.FilterMessage("http.request").TakeAll()
		b.logs.TakeAll()
		if len(lines) != 1 || lines[0].Level != zapcore.InfoLevel || lines[0].ContextMap()["status"] != int64(499) {
			t.Errorf("%s: %+v", path, lines)
		}
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	var asked atomic.Int64
	b := setup(t, func(b *bundle) {
		b.cfg.Ready = func(context.Context) error {
			asked.Add(1)
			if away.Load() {
				return errors.New("no such device")
			}
			return nil
		}
	})
	for range 20 {
		b.get("", "/readyz").want(http.StatusOK)
	}
	if n := asked.Load(); n > 10 {
		t.Errorf("asked %d times for 20 answers", n)
	}
	away.Store(true)
	b.eventually("not ready", func() bool { return b.get("", "/readyz").status == http.StatusServiceUnavailable })
	a := b.get("", "/readyz")
	a.problem(http.StatusServiceUnavailable, "store-away")
	if strings.Contains(string(a.body), "no such device") {
		t.Error("the reason is shown to anybody")
	}
	b.get("", "/livez").want(http.StatusOK)
}

func TestPanicsAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		b.cfg.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("ouch") })
	})
	b.get(b.producer, "/metrics").problem(http.StatusInternalServerError, "internal")
	if b.logs.FilterMessage("http.panicked").Len() != 1 {
		t.Error("not logged")
	}
}

func TestStoredVouchersAreCounted(t *testing.T) {
	t.Parallel()
	results := make(chan string, 10)
	b := setup(t, func(b *bundle) { b.cfg.Enqueued = func(result string, _ time.Duration) { results <- result } })
	b.raw("1", png("x", 90))
	for _, d := range intakes()[:3] {
		d.send(b, "1", png("x", 90)).want(http.StatusOK)
	}
	b.send(b.producer, "/v1/uploads?orderId=2", "image/png", []byte("text")).want(http.StatusUnsupportedMediaType)
	close(results)
	var got []string
	for r := range results {
		got = append(got, r)
	}
	if want := "accepted duplicate duplicate duplicate refused"; strings.Join(got, " ") != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// A stop waits for the upload that is under way.
func TestStopLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	entered, goOn := make(chan struct{}), make(chan struct{})
	b := setup(t, func(b *bundle) {
		b.cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-goOn
			if r.Context().Err() != nil {
				w.WriteHeader(http.StatusTeapot)
			}
		})
	})
	answered := make(chan int, 1)
	go func() {
		a, err := b.try(call{method: http.MethodGet, path: "/metrics", token: b.producer})
		if err != nil {
			a.status = -1
		}
		answered <- a.status
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	b.eventually("no more connections", func() bool {
		c, err := (&http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(b.url + "/livez") //nolint:noctx // has a limit
		if err == nil {
			_ = c.Body.Close()
		}
		return err != nil
	})
	close(goOn)
	if got := <-answered; got != http.StatusOK {
		t.Fatalf("answer %d", got)
	}
	b.must(<-stopped)
}

func TestRequestsAreCountedByRoute(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 10)
	b := setup(t, func(b *bundle) {
		b.cfg.Requested = func(route string, status int, took time.Duration) {
			if took <= 0 {
				t.Errorf("%s took %s", route, took)
			}
			ended <- fmt.Sprint(route, " ", status)
		}
	})
	for _, tc := range []struct{ method, token, path, want string }{
		{http.MethodGet, b.producer, "/v1/uploads/none", "GET /v1/uploads/{id} 404"},
		{http.MethodGet, "", "/v1/uploads", "GET /v1/uploads 401"},
		{http.MethodGet, "", "/livez", "GET /livez 200"},
		{http.MethodGet, b.producer, "/nothing/here", "none 404"},
		{http.MethodDelete, b.producer, "/v1/uploads", "none 405"},
		{http.MethodPost, "", "/open/secret/path", "drop-in 401"},
	} {
		b.do(call{method: tc.method, path: tc.path, token: tc.token})
		select {
		case got := <-ended:
			if got != tc.want {
				t.Errorf("%s %s is counted as %q, want %q", tc.method, tc.path, got, tc.want)
			}
		case <-time.After(waitMost):
			t.Fatalf("%s %s is not counted", tc.method, tc.path)
		}
	}
}
