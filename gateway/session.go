package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/gateway/web"
)

// A session is a cookie that the login page sets: when it ends, and a MAC over that and the stored
// token. Nothing is kept of it here, so it ends with its time, with its token, or with the key.
const (
	sessionCookie = "voucherd_session"
	sessionTime   = 12 * time.Hour // a working day
	sessionKey    = "voucherd:session-key"
)

// keyOfSessions gives the key of the MACs, which all gateways behind one Redis share. Whoever has
// read the settings cannot make sessions with it: it does not follow from the stored tokens. While
// Redis is away the key that was last read is taken, so that people see that it is away.
func (g *Gateway) keyOfSessions(ctx context.Context) ([]byte, error) {
	if g.cfg.Redis == nil {
		return g.ownKey, nil
	}
	key, err := g.cfg.Redis.Get(ctx, sessionKey).Bytes()
	if errors.Is(err, redis.Nil) {
		if err = g.cfg.Redis.SetNX(ctx, sessionKey, rand.Text(), 0).Err(); err == nil {
			key, err = g.cfg.Redis.Get(ctx, sessionKey).Bytes()
		}
	}
	if err == nil {
		g.lastKey.Store(&key)
		return key, nil
	}
	if last := g.lastKey.Load(); last != nil {
		return *last, nil
	}
	return nil, problem.StoreAway("redis cannot be reached, which has the key of sessions; try again", fmt.Errorf("read the key of sessions: %w", err))
}

// session gives the cookie's value for a token.
func session(key []byte, t Token, end int64) string {
	mac := hmac.New(sha256.New, key)
	text := strconv.FormatInt(end, 10)
	_, _ = mac.Write(append(t.hash[:], text...)) // a hash never fails
	return text + "." + hex.EncodeToString(mac.Sum(nil))
}

// sessionOf gives the token that a request has a session of, if it has one.
func (g *Gateway) sessionOf(r *http.Request) (Token, bool, error) {
	value, end := readSession(r)
	if end <= g.cfg.Now().Unix() {
		return Token{}, false, nil
	}
	key, err := g.keyOfSessions(r.Context())
	if err != nil {
		return Token{}, false, err
	}
	for _, t := range g.cfg.Tokens {
		if hmac.Equal([]byte(session(key, t, end)), []byte(value)) {
			return t, true, nil
		}
	}
	return Token{}, false, nil
}

// readSession gives the cookie's value, and when it says that the session ends; 0 when there is none.
func readSession(r *http.Request) (value string, end int64) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", 0
	}
	text, _, _ := strings.Cut(c.Value, ".")
	if end, err = strconv.ParseInt(text, 10, 64); err != nil {
		return "", 0
	}
	return c.Value, end
}

// setSession has the browser keep a session until it is closed, or forget it.
func setSession(w http.ResponseWriter, r *http.Request, value string) {
	age := 0
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure follows the request: plain HTTP on loopback is allowed
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true,
		Secure: accessLogOf(r).secure, SameSite: http.SameSiteStrictMode,
	})
}

// sessionRoutes registers the login page.
func (g *Gateway) sessionRoutes() {
	g.routeHandler("GET /login", anybody, http.HandlerFunc(g.loginPage))
	g.routeHandler("POST /login", anybody, http.HandlerFunc(g.signIn))
	g.routeHandler("POST /logout", anybody, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSession(w, r, "")
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	}))
}

func (g *Gateway) loginPage(w http.ResponseWriter, r *http.Request) {
	form := web.LoginForm{Next: web.OwnAddress(r.URL.Query().Get("next"))}
	if _, refusal := g.login(r); refusal == nil {
		http.Redirect(w, r, form.Next, http.StatusSeeOther)
		return
	}
	// Browsers keep a strict cookie back from whoever comes by another site's link. Asked once more
	// from here, they send it.
	form.Again = r.Header.Get("Sec-Fetch-Site") == "cross-site"
	w.Header().Set("Content-Security-Policy", pagePolicy)
	g.pages.Login(w, r, form)
}

// signIn begins a session for whoever knows a token.
func (g *Gateway) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, int64(g.limits.HeaderBytes))
	form := web.LoginForm{Next: web.OwnAddress(r.PostFormValue("next"))}
	secret := strings.TrimSpace(r.PostFormValue("token"))
	t, refusal := g.check(r, secret)
	if refusal == nil && !g.open() {
		key, err := g.keyOfSessions(r.Context())
		if err != nil {
			g.refuseWithPage(w, r, err)
			return
		}
		accessLogOf(r).identity = t.Identity
		setSession(w, r, session(key, t, g.cfg.Now().Add(sessionTime).Unix()))
	}
	if refusal == nil {
		http.Redirect(w, r, form.Next, http.StatusSeeOther)
		return
	}
	if refusal.RetryAfter > 0 {
		refusal.SetHeaders(w.Header())
	}
	form.Status, form.Fault = refusal.Kind.Status(), string(refusal.Kind)
	w.Header().Set("Content-Security-Policy", pagePolicy)
	g.pages.Login(w, r, form)
}

// toLogin sends a person without a login to the login page; it says whether it did.
func (g *Gateway) toLogin(w http.ResponseWriter, r *http.Request, p *problem.Error) bool {
	if p.Kind != problem.Unauthorized || r.Header.Get("Authorization") != "" || !fromBrowser(r) {
		return false
	}
	next := "/" // what was sent is lost: it would have to be sent anew
	if r.Method == http.MethodGet {
		next = r.URL.RequestURI()
	}
	http.Redirect(w, r, "/login?next="+url.QueryEscape(next), http.StatusSeeOther)
	return true
}

// dialogs says whether an answer that asks for Basic would have a browser show its own box: where a
// page of ours made the request.
func dialogs(r *http.Request) bool {
	_, err := r.Cookie(sessionCookie)
	mode := r.Header.Get("Sec-Fetch-Mode")
	return r.Header.Get("Authorization") == "" && (err == nil || mode != "" && mode != "navigate" || r.Header.Get(web.LiveHeader) != "")
}
