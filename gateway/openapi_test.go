package gateway_test

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// described is the API's description, as the repository has it. Every answer that any test gets is
// held against it.
//
//nolint:gochecknoglobals // parsing it for each of some hundred calls would take longer than the calls
var described = sync.OnceValues(func() (routers.Router, error) {
	doc, err := loadDescription()
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

func loadDescription() (*openapi3.T, error) {
	text, err := os.ReadFile("api/openapi.json")
	if err != nil {
		return nil, err
	}
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(text)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
}

// asDescribed fails the test when a path that the description knows answers otherwise than it says.
func (b *bundle) asDescribed(r *http.Request, a answer) {
	b.t.Helper()
	router, err := described()
	b.must(err)
	plain := r.Clone(b.ctx)
	plain.Host, plain.URL.Scheme, plain.URL.Host, plain.URL.RawQuery = "", "", "", ""
	route, params, err := router.FindRoute(plain)
	if err != nil {
		return // a path or method that is not described
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: plain, Route: route, PathParams: params},
		Status:                 a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	in.SetBodyBytes(a.body)
	if kind := a.header.Get("Content-Type"); strings.HasPrefix(kind, "image/") || kind == "application/pdf" {
		in.Options.ExcludeResponseBody = true
	}
	if err := openapi3filter.ValidateResponse(b.ctx, in); err != nil {
		b.t.Errorf("%s %s answers otherwise than openapi.json says: %v", r.Method, r.URL.Path, err)
	}
}

func TestDescriptionIsServedAsItStands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text, err := os.ReadFile("api/openapi.json")
	b.must(err)
	if got := b.get(b.producer, "/openapi.json").want(http.StatusOK); string(got.body) != string(text) {
		t.Fatal("served another text")
	}
}

// A description that describes nothing would pass every check: each path of it must exist, and
// answer 200 or 202.
func TestEveryDescribedCallExists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	doc, err := loadDescription()
	b.must(err)
	if doc.OpenAPI != "3.1.0" {
		t.Fatalf("OpenAPI %s", doc.OpenAPI)
	}
	u := b.raw("1", png("x", 100))
	b.post(b.operator, "/v1/uploads/"+b.raw("2", png("y", 100)).ID+"/discard").want(http.StatusOK)
	answers := map[string]answer{
		"GET /v1/uploads":                 b.get(b.producer, "/v1/uploads?account="+b.account),
		"POST /v1/uploads":                b.send(b.producer, "/v1/uploads?orderId=1", "image/png", png("x", 100)),
		"GET /v1/uploads/{id}":            b.get(b.producer, "/v1/uploads/"+u.ID),
		"GET /v1/uploads/{id}/voucher":    b.get(b.operator, "/v1/uploads/"+u.ID+"/voucher"),
		"POST /v1/uploads/{id}/discard":   b.post(b.operator, "/v1/uploads/"+u.ID+"/discard"),
		"POST /v1/uploads/{id}/retry":     b.post(b.operator, "/v1/uploads/"+b.rejected("3")+"/retry"),
		"GET /v1/events":                  b.get(b.producer, "/v1/events?account="+b.account),
		"GET /v1/accounts":                b.get(b.producer, "/v1/accounts"),
		"GET /v1/spool":                   b.get(b.producer, "/v1/spool"),
		"POST /v1/accounts/{name}/pause":  b.send(b.operator, "/v1/accounts/"+b.account+"/pause", "application/json", []byte(`{"reason":"x"}`)),
		"POST /v1/accounts/{name}/resume": b.post(b.operator, "/v1/accounts/"+b.account+"/resume"),
		"GET /openapi.json":               b.get(b.producer, "/openapi.json"),
		"GET /livez":                      b.get("", "/livez"),
		"GET /readyz":                     b.get("", "/readyz"),
		"POST " + uploadPath:              b.do(b.drop("4", png("z", 100), signed())),
	}
	var all []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			all = append(all, method+" "+path)
			if a, ok := answers[method+" "+path]; !ok || a.status != http.StatusOK {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
	if len(all) != len(answers) {
		slices.Sort(all)
		t.Fatalf("described: %q", all)
	}
}
