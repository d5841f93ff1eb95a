package api

import (
	"encoding/json"
	"net/http"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// accountsAnswer is how all accounts stand.
type accountsAnswer struct {
	Accounts    []tasks.AccountStatus `json:"accounts"`
	LearntRules []LearntRule          `json:"learntRules"`
}

// LearntRule is a sign rule other than that of the settings, by which a call was signed that the
// drop-in endpoint refused.
type LearntRule struct {
	Account       string      `json:"account"`
	SignParts     string      `json:"signParts"`
	TimestampUnit string      `json:"timestampUnit"`
	SeenAt        ledger.Time `json:"seenAt"`
}

func (a *API) listAccounts(w http.ResponseWriter, r *http.Request) error {
	accounts, err := a.cfg.Tasks.Accounts(r.Context())
	if err != nil {
		return err // the gateway explains it
	}
	if accounts == nil {
		accounts = []tasks.AccountStatus{}
	}
	problem.WriteJSON(w, http.StatusOK, accountsAnswer{Accounts: accounts, LearntRules: a.cfg.Learnt()})
	return nil
}

// spool tells what waits in this gateway's spool, although Redis be away.
func (a *API) spool(w http.ResponseWriter, _ *http.Request) error {
	s, err := a.cfg.Tasks.Spooled()
	if err != nil {
		return problem.StoreAway("the spool cannot be read", err)
	}
	problem.WriteJSON(w, http.StatusOK, s)
	return nil
}

// pauseBytes bounds the body of a pause.
const pauseBytes = 8 << 10

// pauseBody is what a pause says.
type pauseBody struct {
	Reason string `json:"reason"`
	For    string `json:"for"`
}

func (a *API) pauseAccount(w http.ResponseWriter, r *http.Request) error {
	var body pauseBody
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, pauseBytes))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return &problem.Error{Kind: problem.Body, Detail: `the body must be a JSON object as in {"reason": "month end", "for": "2h"}`}
	}
	p := tasks.PauseRequest{Account: r.PathValue("name"), Reason: body.Reason, By: a.cfg.By(r)}
	if body.For != "" {
		var err error
		if p.For, err = parseSince(body.For); err != nil || p.For <= 0 {
			return problem.Invalidf("for", "is not a length of time such as 30m, 24h or 7d")
		}
	}
	status, err := a.cfg.Tasks.Pause(r.Context(), p)
	if err != nil {
		return err // the gateway explains it
	}
	problem.WriteJSON(w, http.StatusOK, status)
	return nil
}

func (a *API) resumeAccount(w http.ResponseWriter, r *http.Request) error {
	status, err := a.cfg.Tasks.Resume(r.Context(), r.PathValue("name"))
	if err != nil {
		return err // the gateway explains it
	}
	problem.WriteJSON(w, http.StatusOK, status)
	return nil
}
