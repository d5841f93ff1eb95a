package gateway

import (
	"net/http"
	"strings"

	"github.com/voucherd/voucherd/gateway/api"
	"github.com/voucherd/voucherd/gateway/problem"
)

// access says who may call a route.
type access int

const (
	anybody   access = iota // health
	anyToken                // whoever has a token
	operators               // operators alone
)

// accessTo says who may call a handler that is for operators alone, or not.
func accessTo(operatorsOnly bool) access {
	if operatorsOnly {
		return operators
	}
	return anyToken
}

// route registers a handler whose error becomes a problem.
func (g *Gateway) route(pattern string, who access, h func(http.ResponseWriter, *http.Request) error) {
	g.routeHandler(pattern, who, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			g.refuse(w, r, problem.Explain(err))
		}
	}))
}

// routeHandler registers a handler that answers for itself.
func (g *Gateway) routeHandler(pattern string, who access, h http.Handler) {
	g.mux.Handle(pattern, &routed{gateway: g, who: who, handler: h})
}

// routed is a handler behind the login. That it is one tells it from the mux's own answers.
type routed struct {
	gateway *Gateway
	who     access
	handler http.Handler
}

func (h *routed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.who == anybody || h.gateway.admit(w, r, h.who) {
		h.handler.ServeHTTP(w, r)
	}
}

// admit says whether the caller may go on; if not, it has answered.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, who access) bool {
	identity, refusal := g.login(r)
	if refusal == nil {
		accessLogOf(r).identity = identity
		if who == operators && !identity.Operator() {
			refusal = &problem.Error{Kind: problem.Forbidden, Detail: "this needs an operator's token"}
		}
	}
	if refusal != nil {
		g.refuse(w, r, refusal)
		return false
	}
	return true
}

func (g *Gateway) routes() {
	g.mux = http.NewServeMux()
	g.route("GET /livez", anybody, live)
	g.route("GET /readyz", anybody, g.readyz)

	g.api = api.New(api.Config{
		Tasks: g.cfg.Tasks, Intake: g.intake, WriteTime: g.limits.ShortTime, Note: note, By: by, Stopping: g.stopping,
		Learnt: func() []api.LearntRule {
			all := []api.LearntRule{}
			for _, rule := range g.dropIn.Learnt() {
				all = append(all, api.LearntRule(rule))
			}
			return all
		},
	})
	for _, r := range g.api.Routes() {
		g.route(r.Pattern, accessTo(r.Operators), r.Serve)
	}

	if g.cfg.Metrics != nil {
		g.routeHandler("GET /metrics", anyToken, g.cfg.Metrics)
	}
	if g.cfg.Queues != nil || g.cfg.QueuesReadOnly != nil {
		g.routeHandler("/queues/", anyToken, http.HandlerFunc(g.queues))
	}
	g.sessionRoutes()
	g.pageRoutes()
}

// queues shows asynqmon.
func (g *Gateway) queues(w http.ResponseWriter, r *http.Request) {
	h := g.queuesFor(accessLogOf(r).identity)
	if h == nil {
		g.refuse(w, r, &problem.Error{Kind: problem.NotFound})
		return
	}
	h.ServeHTTP(w, r)
}

// queuesFor is asynqmon: for operators the one that acts, for all others the one that only shows.
// nil: there is none.
func (g *Gateway) queuesFor(i Identity) http.Handler {
	if i.Operator() {
		return g.cfg.Queues
	}
	return g.cfg.QueuesReadOnly
}

// ownPath says whether a path is the gateway's.
func ownPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "", "v1", "queues", "livez", "readyz", "metrics", "openapi.json", "static", "uploads", "accounts", "incident", "search",
		"language", "webhooks", "login", "logout":
		return true
	}
	return false
}

// dispatch finds the route. What the mux itself would answer is for those who have a token: its
// redirects to a path's clean form stay, its 404 and 405 become problems.
func (g *Gateway) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := g.mux.Handler(r)
	if _, ok := h.(*routed); ok {
		accessLogOf(r).route = pattern
		g.mux.ServeHTTP(w, r)
		return
	}
	if !g.admit(w, r, anyToken) {
		return
	}
	if pattern != "" {
		h.ServeHTTP(w, r)
		return
	}
	said := &discarded{header: http.Header{}}
	h.ServeHTTP(said, r)
	if said.status == http.StatusMethodNotAllowed {
		allow := said.header.Get("Allow")
		g.refuse(w, r, &problem.Error{Kind: problem.MethodNotAllowed, Allow: allow, Detail: "this path takes " + allow})
		return
	}
	g.refuse(w, r, &problem.Error{Kind: problem.NotFound, Detail: "there is nothing here; /openapi.json describes what there is"})
}

// discarded keeps of an answer only what dispatch asks for.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }
