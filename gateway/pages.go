package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/voucherd/voucherd/gateway/web"
	"github.com/voucherd/voucherd/ledger"
)

// newPages makes the web pages. What they ask of a request, the gateway knows by then.
func (g *Gateway) newPages() (*web.Pages, error) {
	return web.New(web.Config{ // it says what is wrong
		Store: g.tasks, History: g.cfg.History, Now: g.cfg.Now,
		Viewer: func(r *http.Request) web.Viewer {
			x := exchangeOf(r)
			queues := g.cfg.QueuesReadOnly
			if x.identity.Operator() {
				queues = g.cfg.Queues
			}
			return web.Viewer{
				Name: x.identity.Name, Operator: x.identity.Operator(), Queues: queues != nil, Secure: x.secure,
			}
		},
		Note:  func(r *http.Request, u ledger.Upload) { g.note(r, u) },
		Cause: func(r *http.Request, err error) { exchangeOf(r).cause = err },
	})
}

// pageRoutes registers the web pages.
func (g *Gateway) pageRoutes() {
	for _, page := range g.pages.Routes() {
		who := anyToken
		if page.Operators {
			who = operators
		}
		g.routeHandler(page.Pattern, who, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", pagePolicy)
			if err := page.Serve(w, r); err != nil {
				g.refuseWithPage(w, r, err)
			}
		}))
	}
}

// refuseWithPage tells a person what a program is told by refuse.
func (g *Gateway) refuseWithPage(w http.ResponseWriter, r *http.Request, err error) {
	p := explain(err)
	if errors.Is(err, web.ErrInput) {
		p = &problem{kind: problemField, cause: err}
	}
	exchangeOf(r).cause = p.cause
	p.headers(w.Header())
	g.problemPage(w, r, p)
}

func (g *Gateway) problemPage(w http.ResponseWriter, r *http.Request, p *problem) {
	w.Header().Set("Content-Security-Policy", pagePolicy)
	g.pages.Problem(w, r, web.Problem{Status: p.kind.status(), Kind: string(p.kind), ID: exchangeOf(r).id})
}

// fromBrowser says whether a person waits for the answer: programs ask for no HTML, and have the API to themselves.
func fromBrowser(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/v1/")
}
