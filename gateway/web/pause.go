package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/voucherd/voucherd/tasks"
)

// pauseView asks why an account shall be paused, and for how long.
type pauseView struct{ Account string }

// Lengths are the lengths of time to choose from.
func (pauseView) Lengths() []string { return []string{"1h", "4h", "24h", "72h"} }

// pause holds an account once a reason is given; until then it asks.
func (p *Pages) pause(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	account := r.PathValue("name")
	if r.PostForm.Get("confirmed") == "" {
		pg := p.newPage(r, "start")
		pg.Here, pg.Body = "/", pauseView{Account: account}
		var err error
		if pg.Title, err = pg.T("pause.ask", account); err != nil {
			return err
		}
		return p.render(w, r, http.StatusOK, "pause.html", pg)
	}
	q := tasks.PauseRequest{Account: account, Reason: r.PostForm.Get("reason"), By: p.cfg.By(r)}
	if long := r.PostForm.Get("for"); long != "" {
		var err error
		if q.For, err = time.ParseDuration(long); err != nil {
			return fmt.Errorf("%w: there is no such length of time", ErrInput)
		}
	}
	if _, err := p.cfg.Store.Pause(r.Context(), q); err != nil {
		return err
	}
	http.Redirect(w, r, "/?done=pause", http.StatusSeeOther)
	return nil
}

// resume ends a person's hold of an account.
func (p *Pages) resume(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.cfg.Store.Resume(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	http.Redirect(w, r, "/?done=resume", http.StatusSeeOther)
	return nil
}
