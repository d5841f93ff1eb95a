package examples_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// described is the API's description.
//
//nolint:gochecknoglobals // parsing it for each call would take longer than the call
var described = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("../api/openapi.json")
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

// asDescribed fails the test when a program calls the API otherwise than its description says. The
// drop-in call is PandaPon's.
func (s *stage) asDescribed(r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway sees it, too
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	router, err := described()
	if err != nil {
		s.t.Errorf("openapi.json: %v", err)
		return
	}
	plain := r.Clone(s.ctx)
	plain.Host, plain.URL.Scheme, plain.URL.Host = "", "", ""
	plain.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := router.FindRoute(plain)
	if err != nil {
		s.t.Errorf("%s %s is not in openapi.json: %v", r.Method, r.URL.Path, err)
		return
	}
	for name := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			s.t.Errorf("%s %s has no parameter %s in openapi.json", r.Method, r.URL.Path, name)
		}
	}
	err = openapi3filter.ValidateRequest(s.ctx, &openapi3filter.RequestValidationInput{
		Request: plain, Route: route, PathParams: params,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
	if err != nil {
		s.t.Errorf("%s %s is not as openapi.json says: %v", r.Method, r.URL.Path, err)
	}
}
