// Package examples_test runs the programs of docs/examples as their readers do.
package examples_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis prints by itself
	os.Exit(redistest.Main(m))
}
