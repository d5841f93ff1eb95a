// Package crash_test lets the real program die by SIGKILL before and after each of its steps, and
// holds the API's log against the ledger. A step is what others can see: a command that writes to
// Redis, an operation on the files of blob store and spool, a request to the API or a receiver of
// webhooks. points.txt lists all of them.
package crash_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"github.com/voucherd/voucherd/test/redistest"
)

//nolint:gochecknoglobals // flags of a test binary, and what is built once for all tests
var (
	full   = flag.Bool("full", false, "die at every crash point, not at a few of each scenario")
	update = flag.Bool("update", false, "write the steps that are met to points.txt")
	built  programs
)

func TestMain(m *testing.M) {
	logging.Disable()
	code := redistest.Main(m)
	_ = os.RemoveAll(built.dir)
	os.Exit(code)
}

// programs are voucherd as it is built with some tags.
type programs struct {
	mu    sync.Mutex
	dir   string
	paths map[string]string // by tags
}

// with gives the path of the program with these tags.
func (p *programs) with(t *testing.T, tags string) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if path := p.paths[tags]; path != "" {
		return path
	}
	if p.dir == "" {
		var err error
		if p.dir, err = os.MkdirTemp("", "crash-"); err != nil { //nolint:usetesting // for all tests
			t.Fatal(err)
		}
		p.paths = map[string]string{}
	}
	path := filepath.Join(p.dir, "voucherd-"+tags)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags", tags, "-o", path,
		"github.com/voucherd/voucherd/cmd/voucherd")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.paths[tags] = path
	return path
}
