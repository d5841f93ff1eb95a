package api

import (
	"net/http"

	"github.com/voucherd/voucherd/gateway/problem"
)

func (a *API) retryUpload(w http.ResponseWriter, r *http.Request) error {
	u, err := a.cfg.Tasks.Retry(r.Context(), r.PathValue("id"))
	if err != nil {
		return err // the gateway explains it
	}
	a.cfg.Note(r, u)
	problem.WriteJSON(w, http.StatusOK, u)
	return nil
}

func (a *API) discardUpload(w http.ResponseWriter, r *http.Request) error {
	u, err := a.cfg.Tasks.Discard(r.Context(), r.PathValue("id"))
	if err != nil {
		return err // the gateway explains it
	}
	a.cfg.Note(r, u)
	problem.WriteJSON(w, http.StatusOK, u)
	return nil
}
