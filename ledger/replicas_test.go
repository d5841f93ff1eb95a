package ledger_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

func TestTooFewReplicas(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.must(b.AwaitReplicas(b.ctx, b.account, 0))
	err := b.AwaitReplicas(b.ctx, b.account, 1) // this Redis has none
	few, ok := errors.AsType[*ledger.ReplicasError](err)
	if !ok || few.Have != 0 || few.Want != 1 || !strings.Contains(err.Error(), "only 0 of the 1 replicas") {
		t.Errorf("got %v", err)
	}
}

func TestSizesOfTheIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.open("order", "one")
	b.open("order", "two") // waits behind it
	s, err := b.Sizes(b.ctx, b.account)
	b.must(err)
	if s.Unfinished != 2 || s.Needed != 1 || s.Tasks != 0 {
		t.Errorf("sizes %+v, want 2 unfinished of which 1 needs a task that nobody has put", s)
	}
}
