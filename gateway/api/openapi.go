package api

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.json
var openAPIText []byte

func openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(openAPIText)
	return err // whoever asked has gone
}
