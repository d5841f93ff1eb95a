package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/voucherd/voucherd/ledger"
)

// action is something that a person does to uploads.
type action string

const (
	retry   action = "retry"
	discard action = "discard"
)

func actions() []action { return []action{retry, discard} }

func (a action) valid() bool { return slices.Contains(actions(), a) }

// allowed says whether an upload in this state may have it done. The ledger has the last word.
func (a action) allowed(s ledger.State) bool {
	switch s {
	case ledger.Waiting, ledger.Rejected, ledger.Expired:
		return true
	case ledger.Queued:
		return a == discard
	case ledger.Sending, ledger.Delivered, ledger.Discarded:
	}
	return false
}

// allowedIn lists what may be done to uploads in this state.
func allowedIn(s ledger.State) []action {
	return slices.DeleteFunc(actions(), func(a action) bool { return !a.allowed(s) })
}

func (p *Pages) do(ctx context.Context, a action, id string) (ledger.Upload, error) {
	if a == discard {
		return p.cfg.Store.Discard(ctx, id)
	}
	return p.cfg.Store.Retry(ctx, id)
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

// askView asks whether an upload is really meant.
type askView struct {
	ledger.Upload

	Action action
}

// act does something to one upload once it is confirmed; until then it asks.
func (p *Pages) act(a action) func(http.ResponseWriter, *http.Request) error {
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
		u, err := p.do(r.Context(), a, id)
		if err != nil {
			return err
		}
		p.cfg.Note(r, u)
		http.Redirect(w, r, "/uploads/"+url.PathEscape(u.ID)+"?done="+string(a), http.StatusSeeOther)
		return nil
	}
}
