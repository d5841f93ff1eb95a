package gateway

import (
	"net/http"
)

func (g *Gateway) retryUpload(w http.ResponseWriter, r *http.Request) error {
	u, err := g.tasks.Retry(r.Context(), r.PathValue("id"))
	if err != nil {
		return err // explained by route
	}
	g.note(r, u)
	writeJSON(w, jsonType, http.StatusOK, u)
	return nil
}

func (g *Gateway) discardUpload(w http.ResponseWriter, r *http.Request) error {
	u, err := g.tasks.Discard(r.Context(), r.PathValue("id"))
	if err != nil {
		return err // explained by route
	}
	g.note(r, u)
	writeJSON(w, jsonType, http.StatusOK, u)
	return nil
}
