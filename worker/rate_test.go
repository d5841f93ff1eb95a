package worker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
)

// TestRateLeavesTasksToOthers has a worker whose second attempt may start in a minute: it takes up
// the task of that one, and perhaps one more, asks once, and stops at once.
func TestRateLeavesTasksToOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.rate, b.conc = ledger.Rate{Calls: 1, Per: time.Minute}, 8 }, timeToStop)
	ids := b.many(10)
	stop := b.start("w1")
	b.eventually("one is delivered, the next waits for its turn", func() bool {
		asked := time.UnixMicro(b.turn()).After(time.Now().Add(90 * time.Second))
		return asked && len(b.api.Requests()) == 1 && b.info().Pending >= len(ids)-4
	})
	turn := b.turn()
	began := time.Now()
	stop()
	if took := time.Since(began); took > atOnce {
		t.Errorf("to stop took %v", took)
	}
	if now := b.turn(); now != turn {
		t.Errorf("the next turn is %d, and was %d: it asked again", now, turn)
	}
	if n := b.queued(); n != len(ids)-1 {
		t.Errorf("%d tasks, want %d", n, len(ids)-1)
	}
}

// turn gives the account's next turn that nobody has.
func (b *bundle) turn() int64 {
	b.t.Helper()
	turn, err := b.rdb.HGet(b.ctx, "voucherd:{"+ledger.Queue(b.account)+"}:breaker", "turn").Int64()
	if !errors.Is(err, redis.Nil) { // nobody has asked yet
		b.must(err)
	}
	return turn
}
