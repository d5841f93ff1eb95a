package api

import (
	"errors"
	"net/http"
	"slices"

	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
)

func (a *API) getUpload(w http.ResponseWriter, r *http.Request) error {
	u, err := a.cfg.Tasks.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err // the gateway explains it
	}
	a.cfg.Note(r, u)
	status, err := a.cfg.Tasks.Status(r.Context(), u)
	if err != nil {
		return err
	}
	problem.WriteJSON(w, http.StatusOK, status)
	return nil
}

// listAnswer is a page of a list.
type listAnswer struct {
	Uploads []ledger.Upload `json:"uploads"`
	Cursor  string          `json:"cursor,omitempty"` // absent on the last page
}

func (a *API) listUploads(w http.ResponseWriter, r *http.Request) error {
	values, err := intake.ParseQuery(r, "orderId", "requestId", "search", "state", "code", "account", "since", "cursor", "limit")
	if err != nil {
		return err
	}
	q, err := parseQuery(values)
	if err != nil {
		return err
	}
	var page ledger.Page
	if id := values.Get("requestId"); id != "" {
		page, err = a.byRequest(r, id, q)
	} else {
		page, err = a.cfg.Tasks.List(r.Context(), q)
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
	problem.WriteJSON(w, http.StatusOK, listAnswer{Uploads: page.Uploads, Cursor: page.Cursor})
	return nil
}

// byRequest gives the upload whose attempt had this request id. Attempts beyond the kept ones are
// found too.
func (a *API) byRequest(r *http.Request, requestID string, q ledger.Query) (ledger.Page, error) {
	found, err := a.cfg.Tasks.Find(r.Context(), requestID)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return ledger.Page{}, err // the gateway explains it
	}
	var page ledger.Page
	for _, u := range found {
		had := slices.ContainsFunc(u.Attempts, func(t ledger.Attempt) bool { return t.RequestID == requestID })
		named := u.ID == requestID || u.OrderID == requestID // Find looks for these as well
		if (had || !named) && (q.State == "" || u.State == q.State) && (q.Account == "" || u.Account == q.Account) &&
			(q.OrderID == "" || u.OrderID == q.OrderID) && (q.Code == "" || u.Code == q.Code) {
			u.Attempts, u.Actions = nil, nil
			page.Uploads = append(page.Uploads, u)
		}
	}
	return page, nil
}
