package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

const jsonType = "application/json"

func (g *Gateway) getUpload(w http.ResponseWriter, r *http.Request) error {
	u, err := g.tasks.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err // explained by route
	}
	g.note(r, u)
	writeJSON(w, jsonType, http.StatusOK, u)
	return nil
}

// note puts an upload's ids on the access log line.
func (g *Gateway) note(r *http.Request, u ledger.Upload) {
	x := exchangeOf(r)
	x.account, x.uploadID, x.orderID = u.Account, u.ID, u.OrderID
}

// listAnswer is a page of a list.
type listAnswer struct {
	Uploads []ledger.Upload `json:"uploads"`
	Cursor  string          `json:"cursor,omitempty"` // absent on the last page
}

func (g *Gateway) listUploads(w http.ResponseWriter, r *http.Request) error {
	values, err := queryOf(r, "orderId", "requestId", "state", "account", "since", "cursor", "limit")
	if err != nil {
		return err
	}
	q, err := parseQuery(values)
	if err != nil {
		return err
	}
	var page ledger.Page
	if id := values.Get("requestId"); id != "" {
		page, err = g.byRequest(r, id, q)
	} else {
		page, err = g.tasks.List(r.Context(), q)
	}
	if err != nil {
		return err
	}
	if page.Uploads == nil {
		page.Uploads = []ledger.Upload{}
	}
	if page.Cursor != "" {
		values.Set("cursor", page.Cursor)
		w.Header().Set("Link", `</v1/uploads?`+values.Encode()+`>; rel="next"`)
	}
	writeJSON(w, jsonType, http.StatusOK, listAnswer{Uploads: page.Uploads, Cursor: page.Cursor})
	return nil
}

// queryOf gives the query, of which every parameter must be known and stand once: a misspelt one would list everything.
func queryOf(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem{kind: problemField, field: "query", detail: "query: cannot be read"}
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, invalidf(clip(name, 40), "is not a parameter here; there are %s", strings.Join(known, ", "))
		case len(all) > 1:
			return nil, invalidf(name, "stands more than once")
		}
	}
	return values, nil
}

func invalidf(field, format string, args ...any) error {
	return &problem{kind: problemField, field: field, detail: field + ": " + fmt.Sprintf(format, args...)}
}

const (
	usualLimit = 100
	mostLimit  = 1000
)

func parseQuery(v url.Values) (ledger.Query, error) {
	q := ledger.Query{
		Account: v.Get("account"), State: ledger.State(v.Get("state")), OrderID: v.Get("orderId"), Cursor: v.Get("cursor"), Limit: usualLimit,
	}
	if q.State != "" && !q.State.Valid() {
		return q, invalidf("state", "is none of %s", joinStates())
	}
	if q.Account != "" && !ledger.ValidAccount(q.Account) {
		return q, invalidf("account", "names have 1 to 32 characters of a-z, 0-9 and '-'")
	}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > mostLimit {
			return q, invalidf("limit", "is not a number from 1 to %d", mostLimit)
		}
		q.Limit = n
	}
	if s := v.Get("since"); s != "" {
		d, err := parseSince(s)
		if err != nil || d <= 0 {
			return q, invalidf("since", "is not a length of time such as 30m, 24h or 7d")
		}
		q.Since = d
	}
	if v.Get("requestId") != "" && (q.Cursor != "" || q.Since != 0) {
		return q, invalidf("requestId", "names one call, so neither cursor nor since goes with it")
	}
	return q, nil
}

func joinStates() string {
	var names []string
	for _, s := range ledger.States() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// parseSince reads what time.ParseDuration reads, and whole days.
func parseSince(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(s) // replaced by a sentence
}

// byRequest gives the upload whose attempt had this request id. Attempts beyond the kept ones are found too.
func (g *Gateway) byRequest(r *http.Request, requestID string, q ledger.Query) (ledger.Page, error) {
	found, err := g.tasks.Find(r.Context(), requestID)
	if p := explain(err); err != nil && p.kind != problemNotFound {
		return ledger.Page{}, err // explained by route
	}
	var page ledger.Page
	for _, u := range found {
		had := slices.ContainsFunc(u.Attempts, func(a ledger.Attempt) bool { return a.RequestID == requestID })
		named := u.ID == requestID || u.OrderID == requestID // Find looks for these as well
		if (had || !named) && (q.State == "" || u.State == q.State) && (q.Account == "" || u.Account == q.Account) &&
			(q.OrderID == "" || u.OrderID == q.OrderID) {
			u.Attempts = nil
			page.Uploads = append(page.Uploads, u)
		}
	}
	return page, nil
}

// accountsAnswer is how all accounts stand.
type accountsAnswer struct {
	Accounts []tasks.AccountStatus `json:"accounts"`
}

func (g *Gateway) listAccounts(w http.ResponseWriter, r *http.Request) error {
	accounts, err := g.tasks.Accounts(r.Context())
	if err != nil {
		return err // explained by route
	}
	if accounts == nil {
		accounts = []tasks.AccountStatus{}
	}
	writeJSON(w, jsonType, http.StatusOK, accountsAnswer{Accounts: accounts})
	return nil
}
