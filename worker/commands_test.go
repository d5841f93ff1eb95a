package worker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/test/redistest"
)

// ran gives how many commands Redis ran since it was asked before, in all, and logs which.
func (b *bundle) ran(what string, before map[string]int64, per float64) float64 {
	b.t.Helper()
	after, sum := redistest.Commands(b.t, b.rdb), 0.0
	var profile []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if n := float64(after[name]-before[name]) / per; n >= 0.005 {
			sum += n
			profile = append(profile, fmt.Sprintf("%s %.2f", name, n))
		}
	}
	b.t.Logf("%s: %.2f commands: %s", what, sum, strings.Join(profile, ", "))
	return sum
}

// TestCommandsOfADelivery holds down what one enqueue and one healthy delivery cost Redis.
func TestCommandsOfADelivery(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}), func(b *bundle) {
		b.conc, b.set.PollEvery = 16, time.Second
		b.set.ReconcileEvery, b.set.BeatEvery, b.set.DeadAfter = time.Hour, time.Hour, 2*time.Hour // however slow the machine
	})
	b.enqueue("first", 1) // what is done once a process
	const n = 400
	before := redistest.Commands(t, b.rdb)
	b.many(n)
	if got := b.ran("an enqueue", before, n); got > 12.1 {
		t.Errorf("an enqueue costs %.1f commands", got)
	}
	before = redistest.Commands(t, b.rdb)
	b.start("w1")
	b.eventually("all are delivered", func() bool { return len(b.api.Requests()) == n+1 })
	b.eventually("the last tasks have ended", func() bool { return b.rdb.LLen(b.ctx, b.asynqKey("active")).Val() == 0 })
	if got := b.ran("a delivery", before, n); got > 36.4 { // 34.4, and what goes on beside
		t.Errorf("a delivery costs %.1f commands", got)
	}
}
