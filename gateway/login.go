package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/voucherd/voucherd/gateway/problem"
)

// login says who makes a request, or why nobody knows.
func (g *Gateway) login(r *http.Request) (Identity, *problem.Error) {
	if g.open() {
		return Identity{Role: Operator}, nil
	}
	secret, given := secretOf(r)
	if given {
		t, refusal := g.check(r, secret)
		return t.Identity, refusal
	}
	t, has, err := g.sessionOf(r)
	if err != nil {
		return Identity{}, problem.Explain(err)
	}
	if !has {
		return Identity{}, &problem.Error{
			Kind: problem.Unauthorized, Detail: "a token is needed: as Authorization: Bearer, or as password with any user name",
		}
	}
	accessLogOf(r).session = true
	return t.Identity, nil
}

// check gives the token that a secret is, or says why not.
func (g *Gateway) check(r *http.Request, secret string) (Token, *problem.Error) {
	if t, ok := g.find(secret); ok || g.open() {
		return t, nil
	}
	// A right token always passes, even from an address that others fail from: a neighbour behind
	// the same proxy cannot lock a backend out. Tokens have 256 random bits, so guessing needs no
	// other hurdle; the limit is there for the log and for whoever hammers.
	entry := accessLogOf(r)
	if wait, ok := g.logins.failed(entry.client); !ok {
		return Token{}, &problem.Error{
			Kind: problem.TooManyLogins, RetryAfter: wait, Detail: "too many logins from this address failed: check the token",
		}
	}
	g.log.Warn("login.failed", zap.String("http_request_id", entry.id), zap.String("client", entry.client.String()))
	return Token{}, &problem.Error{Kind: problem.Unauthorized, Detail: "this token is not known"}
}

// secretOf gives the token of a request. Basic is for browsers, which ask for a user name as well;
// any will do.
func secretOf(r *http.Request) (secret string, given bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest), true
	}
	return "", scheme != ""
}

// find looks a token up. It takes the same time whichever token matches, and whether one does.
func (g *Gateway) find(secret string) (Token, bool) {
	hash := sha256.Sum256([]byte(secret))
	found, at := 0, 0
	for i, t := range g.cfg.Tokens {
		same := subtle.ConstantTimeCompare(hash[:], t.hash[:])
		found |= same
		at = subtle.ConstantTimeSelect(same, i, at)
	}
	if found == 0 || !tokenText(secret) {
		return Token{}, false
	}
	return g.cfg.Tokens[at], true
}

const (
	loginBurst     = 10              // failures that an address may make at once
	loginEvery     = 6 * time.Second // and then one in this time
	loginAddresses = 4096            // that are remembered, twice over
)

// loginLimit bounds failed logins by client address. It remembers a bounded number of addresses:
// when one half of its memory is full, it forgets the other.
type loginLimit struct {
	mu       sync.Mutex
	new, old map[netip.Prefix]*rate.Limiter
}

func newLoginLimit() *loginLimit { return &loginLimit{new: map[netip.Prefix]*rate.Limiter{}} }

// failed counts a failure. It gives false, and how long to wait, when there were too many.
func (l *loginLimit) failed(client netip.Addr) (wait time.Duration, ok bool) {
	bits := 64 // an IPv6 host has all the addresses of such a net
	if client.Is4() {
		bits = 32
	}
	var key netip.Prefix
	if p, err := client.Prefix(bits); err == nil {
		key = p
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.new[key]
	if limiter == nil {
		if limiter = l.old[key]; limiter == nil {
			limiter = rate.NewLimiter(rate.Every(loginEvery), loginBurst)
		}
		if len(l.new) >= loginAddresses {
			l.old, l.new = l.new, map[netip.Prefix]*rate.Limiter{}
		}
		l.new[key] = limiter
	}
	return loginEvery, limiter.Allow()
}
