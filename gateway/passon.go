package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
)

// passTransport carries calls that are passed on. It adds nothing to them, and sends each once.
func passTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		DisableCompression:  true, // else it would ask for gzip by itself, and unpack it
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10, ExpectContinueTimeout: time.Second,
	}
}

// proxyTo passes calls on to an account's API, and to nowhere else, whatever they say.
func (d *dropIn) proxyTo(l *accountDoor, log *zap.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: d.transport,
		ErrorLog:  quietLog(log),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Host = "" // the API's own, not the gateway's
			p.Out.URL = &url.URL{
				Scheme: l.base.Scheme, Host: l.base.Host,
				Path:       l.base.Path + p.In.URL.Path,
				RawPath:    l.base.EscapedPath() + p.In.URL.EscapedPath(),
				ForceQuery: p.In.URL.ForceQuery, RawQuery: p.In.URL.RawQuery, // as it was sent; it is not signed, and its reading is the API's business
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if p, ok := r.Context().Value(passKey{}).(*passing); ok {
				p.gateway.refuseEnvelope(w, r, p.problem(r.Context(), err))
			}
		},
	}
}

type passKey struct{}

// passing is a call that is being passed on.
type passing struct {
	gateway *Gateway
	body    *body // nil: there is none
}

// passOn passes a signed call on unchanged.
func (g *Gateway) passOn(w http.ResponseWriter, r *http.Request, account *accountDoor) {
	if detail := unfit(r); detail != "" {
		g.refuseEnvelope(w, r, &problem{kind: problemPath, detail: detail})
		return
	}
	if r.ContentLength > g.limits.PassedBytes {
		g.refuseEnvelope(w, r, tooLarge())
		return
	}
	leave, ok := g.passing.take(r.Context(), g.limits.SlotWait)
	if !ok {
		g.refuseEnvelope(w, r, busy())
		return
	}
	defer leave()
	p := &passing{gateway: g}
	if r.Body != nil && r.Body != http.NoBody {
		passed := g.passedBody(w, r)
		p.body, r.Body = passed.body, passed
	}
	g.answerTime(w, g.limits.PassTime+g.limits.ShortTime)
	ctx, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(r.Context()), passKey{}, p), g.limits.PassTime)
	defer cancel()
	// A caller who leaves ends the call. One who is cut off in the middle of the body ends it by that, and hears why.
	defer context.AfterFunc(r.Context(), func() {
		if p.body == nil || p.body.whole() {
			cancel()
		}
	})()
	r = r.WithContext(ctx)
	w.Header().Del("X-Request-Id") // the answer is the API's alone
	account.proxy.ServeHTTP(w, r)
}

// unfit says why a call is not passed on, though it is signed.
func unfit(r *http.Request) string {
	path := r.URL.EscapedPath()
	lower := strings.ToLower(path)
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return "this method is not passed on"
	case r.Header.Get("Upgrade") != "":
		return "upgrades are not passed on"
	case strings.Contains(path, "//"), strings.Contains(lower, "%2f"), strings.Contains(lower, "%5c"), strings.Contains(path, `\`),
		strings.ContainsFunc(r.URL.Path, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "the path has characters that servers read in different ways"
	}
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		name, _, _ := strings.Cut(part, ";") // some servers drop what follows
		if name == "." || name == ".." {
			return "the path has . or .. in it"
		}
	}
	return ""
}

// passedBody is the bounded body of a call that is passed on.
type passedBody struct {
	*body

	close func() error
}

// Close ends the body.
func (b passedBody) Close() error { return b.close() }

func (g *Gateway) passedBody(w http.ResponseWriter, r *http.Request) passedBody {
	b := &body{from: r.Body, ctl: http.NewResponseController(w), began: time.Now(), limit: g.limits, most: g.limits.PassedBytes}
	b.limit.BodyTime = min(b.limit.BodyTime, g.limits.PassTime)
	return passedBody{body: b, close: r.Body.Close}
}

// problem says what became of a call that got no answer. The cause names hosts, never query or headers.
func (p *passing) problem(ctx context.Context, err error) *problem {
	if p.body != nil {
		if cut := p.body.failure(); cut != nil {
			return explain(cut)
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &problem{kind: problemTimeout, detail: "the API took too long; the call may have arrived", cause: err}
	default:
		return &problem{kind: problemUpstream, detail: "the API could not be reached, or gave no answer", cause: err}
	}
}
