package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"

	"github.com/voucherd/voucherd/internal/incident"
)

// incidentView is the report of what went wrong, as a text to send.
type incidentView struct {
	Filter   filter // its account and time
	Accounts []string
	In       string // the language of the text
	Text     string
}

// Sinces are the lengths of time to choose from.
func (incidentView) Sinces() []string { return sinceChoices() }

const (
	usualSince   = "24h" // how far a report goes back when nobody said
	incidentMost = 5000  // uploads are read for a page; the command line reads more
)

func (p *Pages) incident(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		return err
	}
	f.Since = cmp.Or(f.Since, usualSince)
	q, err := f.query(0)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "uploads")
	in := cmp.Or(r.URL.Query().Get("lang"), pg.Language)
	if !slices.Contains(languageNames(), in) {
		return fmt.Errorf("%w: there is no such language", ErrInput)
	}
	view := incidentView{Filter: f, In: in}
	accounts, err := p.cfg.Store.Accounts(r.Context())
	if err != nil {
		return err
	}
	for _, a := range accounts {
		view.Accounts = append(view.Accounts, a.Account)
	}
	report, err := incident.Collect(r.Context(), p.cfg.Store, incident.Query{Account: f.Account, Since: q.Since, Now: p.cfg.Now(), Most: incidentMost})
	if err != nil {
		return err
	}
	view.Text = report.Text(in)
	pg.Title, pg.Body = pg.texts["incident.title"], view
	return p.render(w, r, http.StatusOK, "incident.html", pg)
}
