//go:build mutant

package ledger_test

import (
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

func TestMutantBeginsTwiceAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.started(o.ID, o.Generation, "nonce-1")
	if run := b.started(o.ID, o.Generation, "nonce-2"); !run.Interrupted {
		t.Errorf("the second attempt at once: %+v", run)
	}
}
