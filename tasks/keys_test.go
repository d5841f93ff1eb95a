package tasks_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// kinds are what the account's keys begin with: "u" of "u:<key>".
func (b *bundle) kinds() []string {
	b.t.Helper()
	prefix := "voucherd:{" + ledger.Queue(b.account) + "}:"
	keys, err := b.rdb.Keys(b.ctx, prefix+"*").Result()
	b.must(err)
	kinds := map[string]bool{}
	for _, key := range keys {
		kind, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), ":")
		kinds[kind] = true
	}
	return slices.Sorted(maps.Keys(kinds))
}

// Ledger and blob store share an account's slot, and no key: neither knows how the other names its own.
func TestLedgerAndBlobStoreShareNoKey(t *testing.T) {
	t.Parallel()
	recorded, stored := setup(t), setup(t)
	recorded.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("kept with its record")})
	meta := blob.Meta{Account: stored.account, OrderID: "1", MediaType: "application/pdf"}
	_, err := stored.store.Put(stored.ctx, meta, pdf(strings.Repeat("x", 2*ledger.InlineMost)))
	stored.must(err)
	ours, theirs := recorded.kinds(), stored.kinds()
	if !slices.Contains(ours, "b") || !slices.Contains(theirs, "v") {
		t.Fatalf("the ledger writes %v, the blob store %v: want bytes in both", ours, theirs)
	}
	for _, kind := range ours {
		if slices.Contains(theirs, kind) {
			t.Errorf("both write keys of kind %q", kind)
		}
	}
}
