package dropin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/problem"
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
func (d *DropIn) proxyTo(to *account) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: d.transport,
		ErrorLog:  d.cfg.ErrorLog,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Host = "" // the API's own, not the gateway's
			p.Out.URL = &url.URL{
				Scheme: to.base.Scheme, Host: to.base.Host,
				Path:       to.base.Path + p.In.URL.Path,
				RawPath:    to.base.EscapedPath() + p.In.URL.EscapedPath(),
				ForceQuery: p.In.URL.ForceQuery, RawQuery: p.In.URL.RawQuery, // as it was sent; it is not signed, and its reading is the API's business
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if p, ok := r.Context().Value(passKey{}).(*passing); ok {
				d.refuse(w, r, p.refusal(r.Context(), err))
			}
		},
	}
}

type passKey struct{}

// passing is a call that is being passed on.
type passing struct {
	body *intake.Body // nil: there is none
}

// passOn passes a signed call on unchanged.
func (d *DropIn) passOn(w http.ResponseWriter, r *http.Request, from *account) {
	if detail := unfit(r); detail != "" {
		d.refuse(w, r, &problem.Error{Kind: problem.Path, Detail: detail})
		return
	}
	if r.ContentLength > d.cfg.Limits.Bytes {
		d.refuse(w, r, problem.LargeBody())
		return
	}
	leave, err := d.places.Take(r.Context(), d.cfg.Limits.Wait)
	if err != nil {
		d.refuse(w, r, problem.Explain(err))
		return
	}
	defer leave()
	p := &passing{}
	if r.Body != nil && r.Body != http.NoBody {
		p.body = d.boundedBody(w, r)
		r.Body = passedBody{Reader: p.body, Closer: r.Body}
	}
	deadline := time.Now().Add(d.cfg.Limits.Pass + d.cfg.Limits.Answer)
	_ = http.NewResponseController(w).SetWriteDeadline(deadline) // only real connections have one
	ctx, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(r.Context()), passKey{}, p), d.cfg.Limits.Pass)
	defer cancel()
	// A caller who leaves ends the call. One who is cut off in the middle of the body ends it by
	// that, and hears why.
	defer context.AfterFunc(r.Context(), func() {
		if p.body == nil || p.body.Whole() {
			cancel()
		}
	})()
	r = r.WithContext(ctx)
	w.Header().Del("X-Request-Id") // the answer is the API's alone
	from.proxy.ServeHTTP(w, r)
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
	io.Reader
	io.Closer
}

func (d *DropIn) boundedBody(w http.ResponseWriter, r *http.Request) *intake.Body {
	limits := d.cfg.Limits.Body
	limits.Time = min(limits.Time, d.cfg.Limits.Pass)
	return intake.NewBody(w, r, limits, d.cfg.Limits.Bytes)
}

// refusal says what became of a call that got no answer. The cause names hosts, never query or
// headers.
func (p *passing) refusal(ctx context.Context, err error) *problem.Error {
	if p.body != nil {
		if cut := p.body.Failure(); cut != nil {
			return problem.Explain(cut)
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &problem.Error{Kind: problem.Timeout, Detail: "the API took too long; the call may have arrived", Cause: err}
	default:
		return &problem.Error{Kind: problem.Upstream, Detail: "the API could not be reached, or gave no answer", Cause: err}
	}
}
