package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// actions are what a person may do to an upload, as the pages offer it.
func actions() []tasks.Action { return []tasks.Action{tasks.ActionRetry, tasks.ActionDiscard} }

// actionsIn lists what is offered for uploads in this state: to retry a queued one would change
// nothing that a person sees.
func actionsIn(s ledger.State) []tasks.Action {
	return slices.DeleteFunc(actions(), func(a tasks.Action) bool {
		return !a.Allowed(s) || a == tasks.ActionRetry && s == ledger.Queued
	})
}

// formBytes bounds a form: the ids of a page's uploads, and some.
const formBytes = 64 << 10

func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, formBytes)
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	return nil
}

// who says who acts, and the reason that a form gives.
func (p *Pages) who(r *http.Request) ledger.Who {
	return ledger.Who{By: p.cfg.By(r), Reason: strings.TrimSpace(r.PostForm.Get("reason"))}
}

// askView asks whether an upload is really meant.
type askView struct {
	ledger.Upload

	Action tasks.Action
}

// act does something to one upload once it is confirmed; until then it asks.
func (p *Pages) act(a tasks.Action) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := readForm(w, r); err != nil {
			return err
		}
		id := r.PathValue("id")
		if r.PostForm.Get("confirmed") == "" {
			u, err := p.cfg.Store.Get(r.Context(), id)
			if err != nil {
				return err
			}
			p.cfg.Note(r, u)
			pg := p.newPage(r, "uploads")
			pg.Title, pg.Here, pg.Body = pg.texts["act.ask."+string(a)], placeOf(u, ""), askView{Upload: u, Action: a}
			return p.render(w, r, http.StatusOK, "ask.html", pg)
		}
		u, err := p.cfg.Store.Act(r.Context(), a, id, p.who(r))
		if err != nil {
			return err
		}
		p.cfg.Note(r, u)
		http.Redirect(w, r, "/uploads/"+url.PathEscape(u.ID)+"?done="+string(a), http.StatusSeeOther)
		return nil
	}
}
