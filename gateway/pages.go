package gateway

import "net/http"

// pageRoutes registers the web pages.
func (g *Gateway) pageRoutes() {
	for _, page := range g.pages.Routes() {
		who := accessTo(page.Operators)
		if page.Open {
			who = anybody
		}
		g.routeHandler(page.Pattern, who, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", pagePolicy)
			if err := page.Serve(w, r); err != nil {
				g.refuseWithPage(w, r, err)
			}
		}))
	}
}
