package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/gateway/web"
)

// refuse answers with a problem: a person with a page, a program with problem+json.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, p *problem.Error) {
	noteCause(r, p.Cause)
	if g.toLogin(w, r, p) {
		return
	}
	p.SetHeaders(w.Header())
	if dialogs(r) {
		w.Header().Del("WWW-Authenticate")
	}
	if fromBrowser(r) {
		g.problemPage(w, r, p)
		return
	}
	w.Header().Set("Content-Security-Policy", dataPolicy)
	p.Write(w, accessLogOf(r).id)
}

// refuseWithPage tells a person what a program is told by refuse.
func (g *Gateway) refuseWithPage(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Explain(err)
	if errors.Is(err, web.ErrInput) {
		p = &problem.Error{Kind: problem.Field, Cause: err}
	}
	accessLogOf(r).cause = p.Cause
	p.SetHeaders(w.Header())
	g.problemPage(w, r, p)
}

func (g *Gateway) problemPage(w http.ResponseWriter, r *http.Request, p *problem.Error) {
	w.Header().Set("Content-Security-Policy", pagePolicy)
	g.pages.Problem(w, r, web.Problem{Status: p.Kind.Status(), Kind: string(p.Kind), ID: accessLogOf(r).id})
}

// fromBrowser says whether a person waits for the answer: programs ask for no HTML, and have the
// API to themselves.
func fromBrowser(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/v1/")
}
