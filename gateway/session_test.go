package gateway_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/test/redistest"
)

// signIn begins a session as a browser does, and gives its cookie.
func (b *bundle) signIn(token string, header ...string) *http.Cookie {
	b.t.Helper()
	form := url.Values{"token": {" " + token + "\n"}, "next": {"/uploads?state=rejected"}}
	a := b.browse(http.MethodPost, "", "/login", form, append(header, "Sec-Fetch-Site", "same-origin")...).want(http.StatusSeeOther)
	if got := a.header.Get("Location"); got != "/uploads?state=rejected" {
		b.t.Errorf("the login leads to %s", got)
	}
	c, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	b.must(err)
	return c
}

func (b *bundle) with(c *http.Cookie, method, path string, header ...string) answer {
	b.t.Helper()
	return b.browse(method, "", path, nil, append(header, "Cookie", c.Name+"="+c.Value)...)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	b := setup(t, withQueues, withTrustedProxy)
	u := b.raw("1", png("x", 90))
	c := b.signIn(b.operator)
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || strings.Contains(c.Raw, b.operator) {
		t.Errorf("the cookie is %s", c.Raw)
	}
	if !b.signIn(b.operator, "X-Forwarded-Proto", "https").Secure {
		t.Error("by HTTPS the cookie is not Secure")
	}
	for _, path := range []string{"/", "/uploads/" + u.ID, "/queues/", "/queues/api/queues", "/v1/accounts", "/v1/uploads/" + u.ID + "/voucher"} {
		b.with(c, http.MethodGet, path).want(http.StatusOK)
	}
	if a := b.with(c, http.MethodGet, "/"); !strings.Contains(string(a.body), `action="/logout"`) {
		t.Error("there is no way to sign out")
	}
	if a := b.browse(http.MethodGet, b.operator, "/", nil); strings.Contains(string(a.body), `action="/logout"`) {
		t.Error("a browser that keeps the token itself is offered to sign out")
	}
	b.with(c, http.MethodPost, "/v1/uploads/"+u.ID+"/discard", "Sec-Fetch-Site", "cross-site").problem(http.StatusForbidden, "cross-origin")
	b.with(b.signIn(b.producer), http.MethodPost, "/v1/uploads/"+u.ID+"/discard").problem(http.StatusForbidden, "forbidden")
	b.with(c, http.MethodPost, "/v1/uploads/"+u.ID+"/discard").want(http.StatusOK)
	if a := b.with(c, http.MethodGet, "/login?next=/search").want(http.StatusSeeOther); a.header.Get("Location") != "/search" {
		t.Errorf("who is logged in is led to %s", a.header.Get("Location"))
	}
	if a := b.with(c, http.MethodPost, "/logout").want(http.StatusSeeOther); !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out sets %s", a.header.Get("Set-Cookie"))
	}
}

// withTrustedProxy believes what this machine says of whom it forwards.
func withTrustedProxy(b *bundle) {
	b.cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

func TestSessionsThatAreNone(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	b := setup(t, func(b *bundle) {
		b.cfg.Redis = b.rdb
		b.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	})
	c := b.signIn(b.operator)
	end, mac, _ := strings.Cut(c.Value, ".")
	for _, value := range []string{"", ".", end, end + ".", end + "." + mac[1:], "9" + end + "." + mac, "x." + mac, end + "." + mac + "0", b.operator} {
		// A page of ours that asks is told; the browser shows no box of its own.
		a := b.do(call{method: http.MethodGet, path: "/v1/accounts", header: http.Header{"Cookie": {c.Name + "=" + value}}})
		a.problem(http.StatusUnauthorized, "unauthorized")
		if a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%q: the browser is to ask", value)
		}
		b.browse(http.MethodGet, "", "/", nil, "Cookie", c.Name+"="+value).want(http.StatusSeeOther)
	}
	b.with(c, http.MethodGet, "/").want(http.StatusOK)

	// Every gateway behind this Redis knows it, and none that has not its token.
	other := b.cfg
	for name, tokens := range map[string][]gateway.Token{"same": other.Tokens, "without": other.Tokens[:1]} {
		b.cfg.Tokens = tokens
		want := map[string]int{"same": http.StatusOK, "without": http.StatusSeeOther}[name]
		b.must(b.stop())
		b.serve()
		b.with(c, http.MethodGet, "/").want(want)
	}
	b.cfg.Tokens = other.Tokens
	b.must(b.stop())
	b.serve()
	late.Store(int64(13 * time.Hour))
	b.with(c, http.MethodGet, "/").want(http.StatusSeeOther)
}

// Who is signed in sees, while Redis is away, that it is, and what lies in the spool.
func TestSessionsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}), func(b *bundle) { b.cfg.Redis = b.rdb })
	b.must(b.stop())
	b.must(b.tasks.OpenSpool(t.TempDir(), 1<<20))
	b.serve()
	c := b.signIn(b.operator)
	s.Kill()
	b.raw("1", png("x", 90))
	a := b.with(c, http.MethodGet, "/").want(http.StatusServiceUnavailable)
	if page := string(a.body); !strings.Contains(page, "1 voucher waits in this gateway") || a.header.Get("Retry-After") == "" {
		t.Errorf("the page is %v %s", a.header, page)
	}

	b.must(b.stop())
	b.serve() // a gateway that has not read the key
	for _, a := range []answer{
		b.with(c, http.MethodGet, "/"), b.browse(http.MethodPost, "", "/login", url.Values{"token": {b.operator}}, "Sec-Fetch-Site", "same-origin"),
	} {
		if page := string(a.want(http.StatusServiceUnavailable).body); strings.Contains(page, "spool") {
			t.Errorf("nobody knows who it is, and the page is %s", page)
		}
	}
}

func TestLoginPageRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.browse(http.MethodGet, "", "/login?next=//evil.example", nil).want(http.StatusOK)
	if text := string(a.body); !strings.Contains(text, `name="next" value="/"`) || strings.Contains(text, "<nav") || strings.Contains(text, "refresh") {
		t.Errorf("the login page is %s", text)
	}
	// Who comes by another site's link may have a cookie that the browser keeps back.
	a = b.browse(http.MethodGet, "", "/login?next=/uploads%3Fa=1%26b%22", nil, "Sec-Fetch-Site", "cross-site").want(http.StatusOK)
	if !strings.Contains(string(a.body), `<meta http-equiv="refresh" content="0;url=/uploads?a=1&amp;b`) {
		t.Errorf("the login page of a link is %s", a.body)
	}
	form := url.Values{"token": {"voucherd_wrong"}}
	b.browse(http.MethodPost, "", "/login", form, "Sec-Fetch-Site", "cross-site").want(http.StatusForbidden)
	a = b.browse(http.MethodPost, "", "/login", form).want(http.StatusUnauthorized)
	if text := string(a.body); !strings.Contains(text, "This token is not known") || strings.Contains(text, "voucherd_wrong") || a.header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong token gets %v %s", a.header, text)
	}
	limited := 0
	for range 20 {
		if a = b.browse(http.MethodPost, "", "/login", form); a.status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 8 || a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), "Wait a moment") {
		t.Errorf("%d of 20 logins were limited: %s", limited, a.body)
	}
	b.signIn(b.operator) // a right token passes all the same
	if strings.Contains(b.logged(), "voucherd_wrong") {
		t.Error("what was tried stands in the log")
	}
}

func TestLoginPageOfAnOpenGateway(t *testing.T) {
	t.Parallel()
	b := setup(t, without(nil))
	b.browse(http.MethodGet, "", "/login", nil).want(http.StatusSeeOther)
	if a := b.browse(http.MethodPost, "", "/login", url.Values{}).want(http.StatusSeeOther); a.header.Get("Set-Cookie") != "" {
		t.Error("there is a session without tokens")
	}
}
