package web

import (
	"fmt"
	"net/http"

	"github.com/voucherd/voucherd/ledger"
)

// errNothing means that nothing has this address.
var errNothing = fmt.Errorf("no such page: %w", ledger.ErrNotFound)

// Problem is why a request has no page.
type Problem struct {
	Status int
	Kind   string // names the messages, "not-found"; one without messages is told as an internal fault
	ID     string // by which the log knows the request
}

type problemView struct {
	Problem

	Signs []sign
}

// Problem answers with a page that says what went wrong. It needs nothing of the store. Whoever is in
// sees what lies in the spool.
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, problem Problem) {
	pg := p.newPage(r, "")
	if _, ok := pg.texts["problem."+problem.Kind]; !ok {
		problem.Kind = "internal"
	}
	if r.Method != http.MethodGet {
		pg.Here = "/" // there is no page to come back to
	}
	pg.Title = pg.texts["problem."+problem.Kind]
	body := problemView{Problem: problem}
	if pg.Viewer.In() {
		body.Signs = p.spoolSigns()
	}
	pg.Body = body
	if err := p.render(w, r, problem.Status, "problem.html", pg); err != nil {
		p.cfg.Cause(r, err)
		http.Error(w, http.StatusText(problem.Status), problem.Status)
	}
}
