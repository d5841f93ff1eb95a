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
	Counts   map[ledger.State]int64 // under the filter, whatever the state; nil: for a code nobody knows
	Total    int64
	Picked   []tasks.Action // what may be done to some of the uploads that are shown
	Allowed  []tasks.Action // what may be done to all in the state that is shown
	Held     []tasks.AccountStatus
}

// Order names by what time the list is ordered: "age", "then", or "" for a mixture.
func (v listView) Order() string {
	switch {
	case v.Filter.State == "":
		return ""
	case v.Filter.State.Final():
		return "then"
	default:
		return "age"
	}
}

// CanPick says whether anything can be done to an upload.
func (listView) CanPick(u ledger.Upload) bool { return len(actionsIn(u.State)) > 0 }

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
	if f.Code == "" {
		if view.Counts, err = p.cfg.Store.Count(r.Context(), q); err != nil {
			return err
		}
	}
	for _, n := range view.Counts {
		view.Total += n
	}
	accounts, err := p.cfg.Store.Accounts(r.Context())
	if err != nil {
		return err
	}
	pg := p.newPage(r, "uploads")
	view.offer(accounts, pg.Viewer)
	pg.Title = pg.texts["list.title"]
	if f.State != "" {
		if pg.Title, err = pg.T("list.title.state", pg.Word("state", string(f.State))); err != nil {
			return err
		}
	}
	pg.Live, pg.Body = listEvery, view
	return p.render(w, r, http.StatusOK, "uploads.html", pg)
}

// offer fills in the accounts, and what the viewer may do.
func (v *listView) offer(accounts []tasks.AccountStatus, who Viewer) {
	for _, a := range accounts {
		v.Accounts = append(v.Accounts, a.Account)
	}
	if !who.Operator {
		return
	}
	if v.Filter.State != "" && v.Filter.Order == "" {
		v.Allowed = actionsIn(v.Filter.State)
	}
	in := map[string]bool{} // accounts of what can be retried
	for _, u := range v.Uploads {
		in[u.Account] = in[u.Account] || slices.Contains(actionsIn(u.State), tasks.ActionRetry)
	}
	v.Picked = slices.DeleteFunc(actions(), func(a tasks.Action) bool {
		return !slices.ContainsFunc(v.Uploads, func(u ledger.Upload) bool { return slices.Contains(actionsIn(u.State), a) })
	})
	for _, a := range accounts {
		if in[a.Account] && a.Breaker != tasks.BreakerClosed {
			v.Held = append(v.Held, a)
		}
	}
}
