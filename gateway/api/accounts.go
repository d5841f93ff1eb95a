package api

import (
	"net/http"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/tasks"
)

// accountsAnswer is how all accounts stand.
type accountsAnswer struct {
	Accounts []tasks.AccountStatus `json:"accounts"`
}

func (a *API) listAccounts(w http.ResponseWriter, r *http.Request) error {
	accounts, err := a.cfg.Tasks.Accounts(r.Context())
	if err != nil {
		return err // the gateway explains it
	}
	if accounts == nil {
		accounts = []tasks.AccountStatus{}
	}
	problem.WriteJSON(w, http.StatusOK, accountsAnswer{Accounts: accounts})
	return nil
}
