package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/voucherd/voucherd/ledger"
)

// searchView is what a search found, if it was not one upload.
type searchView struct {
	Key     string // "": nothing was asked
	Uploads []ledger.Upload
	Found   int64
	More    bool // there are more than are shown
	Order   bool // the key is an order's id
}

// The longest key that is looked for, and how many uploads are shown of what it names.
const (
	longestKey = 200
	mostFound  = 50
)

// search goes to the upload that a key names, or shows what it names instead.
func (p *Pages) search(w http.ResponseWriter, r *http.Request) error {
	key := strings.TrimSpace(r.URL.Query().Get("q"))
	pg := p.newPage(r, "")
	pg.Title, pg.BigQuery = pg.texts["search.title"], true
	var found []ledger.Upload
	if key != "" && len(key) <= longestKey {
		var err error
		if found, err = p.cfg.Store.Search(r.Context(), key); err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
	}
	if len(found) == 1 {
		p.cfg.Note(r, found[0])
		http.Redirect(w, r, placeOf(found[0], key), http.StatusSeeOther) //nolint:gosec // a path of this site
		return nil
	}
	if len(key) > longestKey {
		key = strings.ToValidUTF8(key[:longestKey], "") + "…"
	}
	pg.Query = key
	view := searchView{Key: key, Uploads: found, Found: int64(len(found)), More: len(found) > mostFound}
	view.Order = len(found) > 0 && found[0].OrderID == key
	view.Uploads = found[:min(len(found), mostFound)]
	pg.Body = view
	status := http.StatusOK
	if key != "" && len(found) == 0 {
		status = http.StatusNotFound
	}
	return p.render(w, r, status, "search.html", pg)
}

// placeOf is the address of an upload's page, and on it of the attempt that had the request id.
func placeOf(u ledger.Upload, key string) string {
	address := "/uploads/" + url.PathEscape(u.ID)
	i := slices.IndexFunc(u.Attempts, func(a ledger.Attempt) bool { return a.RequestID != "" && a.RequestID == key })
	if i < 0 {
		return address
	}
	return address + "#attempt-" + strconv.Itoa(u.Attempts[i].Number)
}
