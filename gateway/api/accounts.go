package api

import (
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
