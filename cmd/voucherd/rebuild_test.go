package main_test

import (
	"strings"
	"testing"

	"github.com/voucherd/voucherd/test/redistest"
)

// TestRebuildThatFails has a key of the ledger be none of its own: what rebuild could not do, it
// does not claim.
func TestRebuildThatFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := redistest.Start(t, redistest.Options{})
	b.env = append(b.env, "VOUCHERD_REDIS_URL=redis://"+server.Addr)
	order, picture := b.picture(1)
	b.must(0, "enqueue", "--order", order, picture)
	if o := b.must(0, "rebuild"); !strings.Contains(o.stdout, "agree") {
		t.Errorf("it says: %s", o.stdout)
	}
	if err := server.Client().Set(t.Context(), "voucherd:{vouchers-"+b.account+"}:s:queued", "not an index", 0).Err(); err != nil {
		t.Fatal(err)
	}
	o := b.run("rebuild")
	b.want(o, 1, "run it again")
	if o.stdout != "" {
		t.Errorf("it says: %s", o.stdout)
	}
}
