package gateway

import "net/http"

// pageRoutes registers the web pages.
func (g *Gateway) pageRoutes() {
	g.route("GET /{$}", anyToken, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err := w.Write([]byte("voucherd gateway: /openapi.json describes the API\n"))
		return err //nolint:wrapcheck // whoever asked has gone
	})
}
