package gateway_test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/gateway"
)

// paths are all that there are, with those that are not.
func paths() []string {
	return []string{
		"GET /", "GET /v1/uploads", "POST /v1/uploads", "GET /v1/uploads/x", "POST /v1/uploads/x/retry", "POST /v1/uploads/x/discard",
		"GET /v1/uploads/x/voucher", "GET /v1/accounts", "GET /openapi.json", "GET /metrics", "GET /queues/", "GET /queues",
		"GET /nothing", "PUT /v1/uploads", "GET //v1/uploads", "GET /v1/../v1/accounts", "OPTIONS /v1/uploads", "DELETE /livez/x",
		"POST " + uploadPath, "GET /open/x", "POST /alibaba/x", "PUT /v2/x", "GET /open/../v1/uploads", "GET /%6fpen/x",
	}
}

func behindLogin(b *bundle) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	b.cfg.Metrics, b.cfg.Queues, b.cfg.QueuesReadOnly = ok, ok, ok
}

func TestWithoutTokenNothingButHealth(t *testing.T) {
	t.Parallel()
	b := setup(t, behindLogin)
	for _, p := range paths() {
		method, path, _ := strings.Cut(p, " ")
		for _, h := range []http.Header{
			{}, {"Authorization": {"Bearer "}}, {"Authorization": {"Basic !"}}, {"Authorization": {"Digest x"}}, {"Cookie": {"token=" + b.operator}},
		} {
			a := b.do(call{method: method, path: path, header: h})
			if a.status != http.StatusUnauthorized && a.status != http.StatusTooManyRequests {
				t.Errorf("%s with %v: %d %s", p, h, a.status, a.body)
			}
		}
	}
	b.get("", "/livez").want(http.StatusOK)
	b.get("", "/readyz").want(http.StatusOK)
	b.empty()
}

func TestChallengeIsForBrowsersAndPrograms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.get("", "/v1/accounts")
	a.problem(http.StatusUnauthorized, "unauthorized")
	if got := strings.Join(a.header.Values("WWW-Authenticate"), ";"); !strings.Contains(got, "Bearer") || !strings.Contains(got, "Basic") {
		t.Fatalf("challenge %q", got)
	}
}

func TestBasicPasswordIsTheToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.url+"/v1/accounts", http.NoBody)
	b.must(err)
	req.SetBasicAuth("whoever", b.producer)
	resp, err := b.client.Do(req)
	b.must(err)
	b.must(resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("answer %d", resp.StatusCode)
	}
}

func TestProducersMayNotAct(t *testing.T) {
	t.Parallel()
	b := setup(t, behindLogin)
	u := b.raw("1", png("x", 90))
	for _, p := range []string{"POST /v1/uploads/" + u.ID + "/retry", "POST /v1/uploads/" + u.ID + "/discard", "GET /v1/uploads/" + u.ID + "/voucher"} {
		method, path, _ := strings.Cut(p, " ")
		b.do(call{method: method, path: path, token: b.producer}).problem(http.StatusForbidden, "forbidden")
	}
	if got := b.get(b.producer, "/v1/uploads/"+u.ID).want(http.StatusOK).upload(); got.State != "queued" {
		t.Fatalf("state %s", got.State)
	}
	b.get(b.producer, "/metrics").want(http.StatusOK)
}

func TestQueuesActForOperatorsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		b.cfg.Queues = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		b.cfg.QueuesReadOnly = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	})
	b.get(b.producer, "/queues/x").want(http.StatusOK)
	b.get(b.operator, "/queues/x").want(http.StatusTeapot)
}

func TestFailedLoginsAreLimitedAndLogged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limited := 0
	for range 30 {
		a := b.get("voucherd_wrong", "/v1/accounts")
		switch a.status {
		case http.StatusTooManyRequests:
			limited++
			if a.header.Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		case http.StatusUnauthorized:
		default:
			t.Fatalf("answer %d", a.status)
		}
	}
	if limited < 15 {
		t.Fatalf("%d of 30 were limited", limited)
	}
	lines := b.logs.FilterMessage("login.failed").All()
	if len(lines) == 0 || len(lines)+limited != 30 {
		t.Fatalf("%d logged, %d limited", len(lines), limited)
	}
	// A neighbour who fails cannot lock out whoever has a token.
	b.get(b.producer, "/v1/accounts").want(http.StatusOK)
	if strings.Contains(b.logged(), "voucherd_wrong") {
		t.Fatal("what was tried stands in the log")
	}
}

// A secret that a person thought up could be guessed, so its hash opens nothing.
func TestOnlyMadeTokensCount(t *testing.T) {
	t.Parallel()
	const hunter2 = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7" // SHA-256 of hunter2
	weak, err := gateway.ParseTokens("operator:me:" + hunter2)
	if err != nil {
		t.Fatal(err)
	}
	b := setup(t, without(weak))
	b.get("hunter2", "/v1/accounts").problem(http.StatusUnauthorized, "unauthorized")
}

func TestAnotherSitesPageCannotAct(t *testing.T) {
	t.Parallel()
	for name, tokens := range map[string]bool{"tokens": true, "open": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(b *bundle) {
				if !tokens {
					b.cfg.Tokens = nil
				}
			})
			u := b.raw("1", png("x", 90))
			for _, h := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Origin": {"https://evil.example"}}, {"Origin": {"null"}}} {
				b.do(call{
					method: http.MethodPost, path: "/v1/uploads/" + u.ID + "/discard", token: b.operator, header: h,
				}).problem(http.StatusForbidden, "cross-origin")
				b.do(call{
					method: http.MethodPost, path: "/v1/uploads?orderId=7", token: b.operator, header: h, body: bytes.NewReader(png("y", 90)),
				}).problem(http.StatusForbidden, "cross-origin")
			}
			b.do(call{
				method: http.MethodPost, path: "/v1/uploads/" + u.ID + "/discard", token: b.operator,
				header: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {b.url}},
			}).want(http.StatusOK)
		})
	}
}

func TestOpenGatewayAnswersThisMachineOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, without(nil))
	for _, host := range []string{"evil.example", "127.0.0.1.evil.example", "192.168.0.7:8080", "localhost.evil.example", "[fe80::1]:80"} {
		for _, path := range []string{"/", "/v1/uploads", "/livez", uploadPath} {
			if a := b.do(call{method: http.MethodGet, path: path, host: host}); a.status != http.StatusMisdirectedRequest {
				t.Errorf("%s as %s: %d", path, host, a.status)
			}
		}
	}
	for _, h := range []http.Header{{"X-Forwarded-For": {"1.2.3.4"}}, {"Forwarded": {"for=1.2.3.4"}}, {"Via": {"1.1 proxy"}}, {"X-Real-Ip": {"1.2.3.4"}}} {
		b.do(call{method: http.MethodGet, path: "/v1/accounts", header: h}).problem(http.StatusMisdirectedRequest, "wrong-host")
	}
	for _, host := range []string{"localhost", "localhost:8080", "LOCALHOST", "127.0.0.1:1", "[::1]:8080", "voucherd.localhost", ""} {
		b.do(call{method: http.MethodGet, path: "/v1/accounts", host: host}).want(http.StatusOK)
	}
}

func TestOpenGatewayListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, without(nil))
	g, err := gateway.New(b.cfg)
	b.must(err)
	l, err := new(net.ListenConfig).Listen(b.ctx, "tcp", "0.0.0.0:0") // that is what must be refused
	b.must(err)
	if err := g.Serve(b.ctx, l); !errors.Is(err, gateway.ErrNotLoopback) {
		t.Fatalf("got %v", err)
	}
	b.cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if _, err := gateway.New(b.cfg); err == nil {
		t.Fatal("an open gateway behind a proxy was made")
	}
}

func TestClientBehindProxies(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		proxies []netip.Prefix
		header  http.Header
		client  string
		hsts    bool
	}{
		"not trusted":           {nil, http.Header{"X-Forwarded-For": {"1.2.3.4"}, "X-Forwarded-Proto": {"https"}}, "127.0.0.1", false},
		"trusted":               {trusted, http.Header{"X-Forwarded-For": {"1.2.3.4"}, "X-Forwarded-Proto": {"https"}}, "1.2.3.4", true},
		"trusted, two hops":     {trusted, http.Header{"X-Forwarded-For": {"9.9.9.9, 1.2.3.4, 10.1.1.1"}}, "1.2.3.4", false},
		"lies before the truth": {trusted, http.Header{"X-Forwarded-For": {"10.9.9.9", "1.2.3.4"}, "X-Forwarded-Proto": {"https, http"}}, "1.2.3.4", false},
		"nonsense":              {trusted, http.Header{"X-Forwarded-For": {"1.2.3.4, unknown"}}, "127.0.0.1", false},
		"a port":                {trusted, http.Header{"X-Forwarded-For": {"[2001:db8::1]:99"}}, "2001:db8::1", false},
		"nobody":                {trusted, http.Header{}, "127.0.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(b *bundle) { b.cfg.TrustedProxies = c.proxies })
			a := b.do(call{method: http.MethodGet, path: "/v1/accounts", token: b.producer, header: c.header}).want(http.StatusOK)
			if got := b.requestLines(1)[0].ContextMap()["client"]; got != c.client {
				t.Errorf("client %v, want %s", got, c.client)
			}
			if got := a.header.Get("Strict-Transport-Security") != ""; got != c.hsts {
				t.Errorf("HSTS %v, want %v", got, c.hsts)
			}
		})
	}
}
