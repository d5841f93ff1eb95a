package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/gateway/dropin"
)

// upstream is an API that notes what reaches it.
type upstream struct {
	mu   sync.Mutex
	seen []seen
	url  string
}

// seen is a request as it arrived on the wire.
type seen struct {
	line   string // method and target
	host   string
	header http.Header
	body   string
}

func newUpstream(tb testing.TB, handle http.HandlerFunc) *upstream {
	tb.Helper()
	u := &upstream{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		u.mu.Lock()
		u.seen = append(u.seen, seen{line: r.Method + " " + r.RequestURI, host: r.Host, header: r.Header.Clone(), body: string(body)})
		u.mu.Unlock()
		if err == nil && handle != nil {
			handle(w, r)
		}
	}))
	tb.Cleanup(s.Close)
	u.url = s.URL
	return u
}

func (u *upstream) all() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]seen(nil), u.seen...)
}

func to(u *upstream) option { return func(b *bundle) { b.cfg.Accounts[0].BaseURL = u.url } }

func TestSignedCallsArePassedOnUnchanged(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Own"] = []string{"1", "2"}
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, `{"requestId":"r"}`)
	})
	b := setup(t, to(u))
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/open/order/detail?orderId=1022505290408395575&x=a;b&y=%zz&&z", ""},
		{"POST", "/alibaba/%E4%B8%AD%20x/~a+b:c@d!$&'()*,;=e", `{"a": 1}`},
		{"PUT", "/v2/goods/", strings.Repeat("x", 100_000)},
		{"DELETE", "/v2/x?", ""},
		{"GET", uploadPath, ""},          // not a POST
		{"POST", uploadPath + "/", "{}"}, // not the path
	} {
		h := signed()
		h.Set("Accept-Language", "zh")
		h.Set("Cookie", "s=1")
		h.Set("User-Agent", "shop/1.0")
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		before := len(u.all())
		a := b.do(call{method: c.method, path: c.path, header: h, body: body}).want(http.StatusTeapot)
		got := u.all()[before:]
		if len(got) != 1 {
			t.Fatalf("%s: sent %d times", c.path, len(got))
		}
		want := seen{line: c.method + " " + c.path, host: strings.TrimPrefix(u.url, "http://"), header: h, body: c.body}
		want.header.Set("Accept-Encoding", "gzip") // this test's own client asks for it
		if c.body != "" {
			want.header.Set("Content-Length", strconv.Itoa(len(c.body)))
		} else if c.method == http.MethodPut || c.method == http.MethodPost {
			want.header.Set("Content-Length", "0")
		}
		if d := cmp.Diff(want, got[0], cmp.AllowUnexported(seen{})); d != "" {
			t.Errorf("%s %s arrived otherwise:\n%s", c.method, c.path, d)
		}
		if string(a.body) != `{"requestId":"r"}` {
			t.Errorf("body %q", a.body)
		}
		h = a.header.Clone()
		h.Del("Date")
		if d := cmp.Diff(http.Header{
			"X-Own": {"1", "2"}, "Content-Type": {"application/json;charset=UTF-8"}, "Set-Cookie": {"a=b"}, "Content-Length": {"17"},
		}, h); d != "" {
			t.Errorf("answered otherwise:\n%s", d)
		}
	}
	b.empty()
}

// Nothing that a caller can say makes the gateway call another host, or tell the API who called.
func TestNoOpenProxy(t *testing.T) {
	t.Parallel()
	u, evil := newUpstream(t, nil), newUpstream(t, nil)
	b := setup(t, to(u))
	h := signed()
	for name, value := range map[string]string{
		"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "for=1.2.3.4",
		"Connection": "close, X-Secret", "X-Secret": "hop by hop", "Proxy-Authorization": "Basic x", "Keep-Alive": "1",
	} {
		h.Set(name, value)
	}
	evilHost := strings.TrimPrefix(evil.url, "http://")
	b.do(call{method: http.MethodGet, path: "/open/x", header: h, host: evilHost}).want(http.StatusOK)
	for _, target := range []string{evil.url + "/open/x", "//" + evilHost + "/open/x", "/open/@" + evilHost + "/x", "/open/x?url=" + evil.url} {
		status, _ := b.wire("GET "+target+" HTTP/1.1\r\n", signed(), "")
		if status != http.StatusOK && status != http.StatusBadRequest && status != http.StatusUnauthorized {
			t.Errorf("%s: %d", target, status)
		}
	}
	if got := evil.all(); len(got) != 0 {
		t.Fatalf("called another host: %+v", got)
	}
	for _, s := range u.all() {
		for name := range s.header {
			if strings.HasPrefix(name, "X-Forwarded") || name == "Forwarded" || name == "Via" || name == "X-Secret" || name == "Proxy-Authorization" {
				t.Errorf("%s: the API got %s", s.line, name)
			}
		}
		if s.host != strings.TrimPrefix(u.url, "http://") {
			t.Errorf("%s: host %s", s.line, s.host)
		}
	}
}

// wire sends bytes that no client would send, and gives the status and the body.
func (b *bundle) wire(line string, header http.Header, body string) (status int, answer string) {
	b.t.Helper()
	c, err := new(net.Dialer).DialContext(b.ctx, "tcp", strings.TrimPrefix(b.url, "http://"))
	b.must(err)
	defer func() { _ = c.Close() }()
	b.must(c.SetDeadline(time.Now().Add(waitMost)))
	var out bytes.Buffer
	out.WriteString(line + "Host: gateway\r\nConnection: close\r\n")
	b.must(header.Write(&out))
	fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	_, err = c.Write(out.Bytes())
	b.must(err)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	b.must(err)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	b.must(err)
	return resp.StatusCode, string(all)
}

func TestPathsThatServersReadDifferentlyAreRefused(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	b := setup(t, to(u))
	for _, path := range []string{
		"/open/../admin", "/open/./x", "/open//x", "/open/%2e%2e/admin", "/open/%2E%2e/x", "/open/x%2f..%2fy", "/open/x%2Fy", `/open/..%5cx`, `/open/x\y`,
		"/open/..;/admin", "/open/..;a=b/x", "/open/x%00", "/open/x%0d%0ay", "/v2/..", "/alibaba/.", "/open/order/upload/%2e/payCertificate",
		"/open/order//upload/payCertificate",
	} {
		status, body := b.wire("POST "+path+" HTTP/1.1\r\n", signed(), "{}")
		var e envelope
		if err := json.Unmarshal([]byte(body), &e); status != http.StatusBadRequest || err != nil || e.Code != dropin.CodePath {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, line := range []string{"TRACE /open/x", "CONNECT /open/x"} {
		if status, body := b.wire(line+" HTTP/1.1\r\n", signed(), ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", line, status, body)
		}
	}
	h := signed()
	h.Set("Upgrade", "websocket")
	b.do(call{method: http.MethodGet, path: "/open/x", header: h}).want(http.StatusBadRequest)
	if got := u.all(); len(got) != 0 {
		t.Fatalf("passed on: %+v", got)
	}
}

// An escaped letter of the upload path is still the upload path: no voucher slips past the ledger.
func TestEscapedUploadPathIsTheUploadPath(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	b := setup(t, to(u))
	c := b.drop("1", png("x", 90), signed())
	c.path = "/open/order/upload/%70ayCertificate"
	b.do(c).want(http.StatusOK)
	if len(u.all()) != 0 {
		t.Fatal("passed on")
	}
}

func TestBasePathComesFirst(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	b := setup(t, func(b *bundle) { b.cfg.Accounts[0].BaseURL = u.url + "/pre%20fix/" })
	b.do(call{method: http.MethodGet, path: "/open/a%21b?c=d", header: signed()}).want(http.StatusOK)
	if got := u.all(); len(got) != 1 || got[0].line != "GET /pre%20fix/open/a%21b?c=d" {
		t.Fatalf("%+v", got)
	}
}

func TestPassedBodiesAreBounded(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	b := setup(t, to(u), func(b *bundle) { b.cfg.Limits().PassedBytes = 1000 })
	big := strings.Repeat("x", 200_000)
	for name, body := range map[string]io.Reader{"length known": strings.NewReader(big), "length unknown": io.MultiReader(strings.NewReader(big))} {
		a := b.do(call{method: http.MethodPost, path: "/open/x", header: signed(), body: body}).want(http.StatusRequestEntityTooLarge)
		if e := a.envelope(); e.Code != dropin.CodeTooLarge {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	b.do(call{method: http.MethodPost, path: "/open/x", header: signed(), body: io.MultiReader(strings.NewReader(big[:1000]))}).want(http.StatusOK)
}

func TestAPIAwayIsSaidInTheEnvelope(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b := setup(t, func(b *bundle) { b.cfg.Accounts[0].BaseURL = "http://" + address })
	a := b.do(call{method: http.MethodGet, path: "/open/x?k=v", header: signed()}).want(http.StatusBadGateway)
	if e := a.envelope(); e.Code != dropin.CodeAPIAway || strings.Contains(string(a.body), address) {
		t.Fatalf("%s", a.body)
	}
}

func TestSlowAPIIsCutOff(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	})
	defer close(done)
	b := setup(t, to(u), func(b *bundle) { b.cfg.Limits().PassTime = 200 * time.Millisecond })
	a := b.do(call{method: http.MethodGet, path: "/open/x", header: signed()}).want(http.StatusGatewayTimeout)
	if e := a.envelope(); e.Code != dropin.CodeAPITimeout {
		t.Fatalf("%s", a.body)
	}
}

// Answers pass in the measure they come, so memory does not hold them.
func TestAnswersAreStreamed(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-goOn
		_, _ = io.WriteString(w, "second\n")
	})
	b := setup(t, to(u))
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.url+"/open/x", http.NoBody)
	b.must(err)
	req.Header = signed()
	resp, err := b.client.Do(req)
	b.must(err)
	defer resp.Body.Close()
	in := textproto.NewReader(bufio.NewReader(resp.Body))
	first, err := in.ReadLine()
	b.must(err)
	close(goOn)
	second, err := in.ReadLine()
	b.must(err)
	if first != "first" || second != "second" {
		t.Fatalf("%q %q", first, second)
	}
}

// A call is sent once: the API may have taken an order although its answer was lost.
func TestCallsAreNeverSentAgain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = c.Close()
		}
	})
	b := setup(t, to(u))
	for range 3 {
		b.do(call{method: http.MethodPost, path: "/open/order/create", header: signed(), body: strings.NewReader("{}")}).want(http.StatusBadGateway)
	}
	if got := len(u.all()); got != 3 {
		t.Fatalf("3 calls arrived as %d", got)
	}
}
