package web

import (
	"net/http"

	"github.com/voucherd/voucherd/events"
)

// webhooksView is the page about webhooks: the accounts that have them.
type webhooksView struct{ Accounts []webhooksOf }

type webhooksOf struct {
	events.Status

	Account string
	LagMS   int64
}

// webhooks shows how far events have come, and the last deliveries.
func (p *Pages) webhooks(w http.ResponseWriter, r *http.Request) error {
	var view webhooksView
	if p.cfg.Webhooks != nil {
		accounts, err := p.cfg.Store.Accounts(r.Context())
		if err != nil {
			return err
		}
		for _, a := range accounts {
			s, has, err := p.cfg.Webhooks(r.Context(), a.Account)
			if err != nil {
				return err
			}
			if has {
				view.Accounts = append(view.Accounts, webhooksOf{Status: s, Account: a.Account, LagMS: s.Lag.Milliseconds()})
			}
		}
	}
	pg := p.newPage(r, "webhooks")
	pg.Title, pg.Live, pg.Body = pg.texts["webhooks.title"], listEvery, view
	return p.render(w, r, http.StatusOK, "webhooks.html", pg)
}
