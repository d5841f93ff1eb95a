package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// filter says which uploads a list shows.
type filter struct {
	State   ledger.State // "": all
	Account string       // "": all
	Since   string       // one of sinceChoices; "": any time
	Order   string       // "": all
	Code    string       // PandaPon's, of the last answer; "": all
	Cursor  string
}

// sinceChoices are the lengths of time that a list can be narrowed to.
func sinceChoices() []string { return []string{"1h", "24h", "168h", "720h"} }

func parseFilter(v url.Values) (filter, error) {
	f := filter{
		State: ledger.State(v.Get("state")), Account: v.Get("account"), Since: v.Get("since"), Order: v.Get("order"),
		Code: strings.TrimSpace(v.Get("code")), Cursor: v.Get("cursor"),
	}
	switch {
	case f.State != "" && !f.State.Valid():
		return f, fmt.Errorf("%w: there is no such state", ErrInput)
	case f.Account != "" && !ledger.ValidAccount(f.Account):
		return f, fmt.Errorf("%w: no account is called so", ErrInput)
	case f.Since != "" && !slices.Contains(sinceChoices(), f.Since):
		return f, fmt.Errorf("%w: there is no such length of time", ErrInput)
	}
	return f, nil
}

// query is the filter as the ledger takes it.
func (f filter) query(limit int) (ledger.Query, error) {
	q := ledger.Query{Account: f.Account, State: f.State, OrderID: f.Order, Code: f.Code, Cursor: f.Cursor, Limit: limit}
	if f.Since == "" {
		return q, nil
	}
	var err error
	if q.Since, err = time.ParseDuration(f.Since); err != nil {
		return q, fmt.Errorf("%w: there is no such length of time", ErrInput)
	}
	return q, nil
}

// With gives the address of the list with one thing changed, from its first page on.
func (f filter) With(name, value string) string {
	v := url.Values{}
	for _, pair := range [][2]string{{"state", string(f.State)}, {"account", f.Account}, {"since", f.Since}, {"order", f.Order}, {"code", f.Code}} {
		if pair[0] == name {
			pair[1] = value
		}
		if pair[1] != "" {
			v.Set(pair[0], pair[1])
		}
	}
	if name == "cursor" && value != "" {
		v.Set("cursor", value)
	}
	if len(v) == 0 {
		return "/uploads"
	}
	return "/uploads?" + v.Encode()
}

// WithState is With for a state.
func (f filter) WithState(s ledger.State) string { return f.With("state", string(s)) }

// First is the address of the list's first page.
func (f filter) First() string { return f.With("cursor", "") }

// listView is a page of a list.
type listView struct {
	Filter   filter
	Uploads  []ledger.Upload
	Next     string // the cursor of the next page; "": this is the last
	Accounts []string
	Counts   map[ledger.State]int64 // of the accounts shown, whatever the time and the order
	Total    int64
	Counted  bool           // Counts are of what the filter shows
	Allowed  []tasks.Action // what may be done to all in the state that is shown
}

// Sinces are the lengths of time to choose from.
func (listView) Sinces() []string { return sinceChoices() }

// pageSize is how many uploads a page shows.
const pageSize = 50

func (p *Pages) uploads(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		return err
	}
	q, err := f.query(pageSize)
	if err != nil {
		return err
	}
	found, err := p.cfg.Store.List(r.Context(), q)
	if err != nil {
		return err
	}
	view := listView{Filter: f, Uploads: found.Uploads, Next: found.Cursor}
	if view.Accounts, view.Counts, err = p.count(r, f.Account); err != nil {
		return err
	}
	for _, n := range view.Counts {
		view.Total += n
	}
	view.Counted = f.Since == "" && f.Order == "" && f.Code == ""
	pg := p.newPage(r, "uploads")
	if pg.Viewer.Operator && f.State != "" && f.Order == "" {
		view.Allowed = actionsIn(f.State)
	}
	pg.Title = pg.texts["list.title"]
	if f.State != "" {
		if pg.Title, err = pg.T("list.title.state", pg.Word("state", string(f.State))); err != nil {
			return err
		}
	}
	pg.Live, pg.Body = listEvery, view
	return p.render(w, r, http.StatusOK, "uploads.html", pg)
}

// count gives the accounts there are, and how many uploads of one of them, or of all, stand in each
// state.
func (p *Pages) count(r *http.Request, account string) ([]string, map[ledger.State]int64, error) {
	accounts, err := p.cfg.Store.Accounts(r.Context())
	if err != nil {
		return nil, nil, err
	}
	var names []string
	counts := map[ledger.State]int64{}
	for _, a := range accounts {
		names = append(names, a.Account)
		if account != "" && account != a.Account {
			continue
		}
		for s, n := range a.Uploads {
			counts[s] += n
		}
	}
	return names, counts, nil
}
