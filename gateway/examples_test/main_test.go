// Package examples_test runs the programs of docs/examples as their readers do.
package examples_test

import (
	"os"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/redis/go-redis/v9/logging"

	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis prints by itself
	for _, kind := range []string{"image/png", "image/jpeg", "text/x-shellscript"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder) // a program may name a voucher's kind
	}
	code := redistest.Main(m)
	_ = os.RemoveAll(classes)
	os.Exit(code)
}
