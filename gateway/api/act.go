package api

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// act does something to one upload.
func (a *API) act(action tasks.Action) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		reason, err := readReason(w, r)
		if err != nil {
			return err
		}
		u, err := a.cfg.Tasks.Act(r.Context(), action, r.PathValue("id"), ledger.Who{By: a.cfg.By(r), Reason: reason})
		if err != nil {
			return err // the gateway explains it
		}
		a.cfg.Note(r, u)
		problem.WriteJSON(w, http.StatusOK, u)
		return nil
	}
}

// reasonBytes bounds a body that can only hold a reason.
const reasonBytes = 4 << 10

// readReason gives the reason that a body states, as JSON or as a form; there may be none.
func readReason(w http.ResponseWriter, r *http.Request) (string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, reasonBytes))
	if err != nil {
		return "", &problem.Error{Kind: problem.Body, Detail: "the body is cut off, or has more than a reason can have", Cause: err}
	}
	if len(body) == 0 {
		return "", nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // without one it is "", which is refused
	switch kind {
	case "application/json":
		var said struct {
			Reason string `json:"reason"`
		}
		fields := json.NewDecoder(bytes.NewReader(body))
		fields.DisallowUnknownFields()
		if err := fields.Decode(&said); err != nil {
			return "", &problem.Error{Kind: problem.Body, Detail: `the body is not JSON such as {"reason": "…"}`, Cause: err}
		}
		return said.Reason, nil
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return "", &problem.Error{Kind: problem.Body, Detail: "the form cannot be read", Cause: err}
		}
		return form.Get("reason"), nil
	default:
		return "", &problem.Error{
			Kind: problem.MediaType, Detail: "send a reason as JSON (application/json) or as a form (application/x-www-form-urlencoded), or no body",
		}
	}
}
