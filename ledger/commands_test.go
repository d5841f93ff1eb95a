package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// TestCommandsOfABacklogThatWaits has 1,000 uploads wait: a pass of the reconciler compares counts,
// and does not look at each.
func TestCommandsOfABacklogThatWaits(t *testing.T) {
	t.Parallel()
	q := queueOf(newBundle(t, redistest.Start(t, redistest.Options{}).Client(), ledger.Settings{}))
	const n = 1000
	for i := range n {
		q.enqueue(fmt.Sprint("order-", i), "receipt")
	}
	q.later(time.Hour)
	for _, page := range []int{0, 30} {
		before := redistest.Commands(t, q.rdb)
		if found := q.pass("w", time.Minute); found.Needed != n || found.Tasks != n || len(found.Repairs) > 0 {
			t.Fatalf("passed %+v", found)
		}
		limit := int64(22) // 18 when the minute is not new
		if page > 0 {
			_, err := q.Sweep(q.ctx, q.account, "queued:0", page)
			q.must(err)
			limit += int64(6 * page)
		}
		sum := int64(0)
		for name, after := range redistest.Commands(t, q.rdb) {
			sum += after - before[name]
		}
		t.Logf("a pass, and a slow sweep of %d: %d commands", page, sum)
		if sum > limit {
			t.Errorf("a pass with a slow sweep of %d costs %d commands, want %d at most", page, sum, limit)
		}
	}
}
