package worker_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/test/redistest"
)

// commands gives how often each command ran, those in scripts too.
func (b *bundle) commands() map[string]int64 {
	b.t.Helper()
	info, err := b.rdb.Info(b.ctx, "commandstats").Result()
	b.must(err)
	n := map[string]int64{}
	for _, m := range regexp.MustCompile(`cmdstat_([^:]+):calls=(\d+)`).FindAllStringSubmatch(info, -1) {
		calls, err := strconv.ParseInt(m[2], 10, 64)
		b.must(err)
		n[m[1]] = calls
	}
	return n
}

// ran gives how many commands Redis ran since it was asked before, in all, and logs which.
func (b *bundle) ran(what string, before map[string]int64, per float64) float64 {
	b.t.Helper()
	after, sum, profile := b.commands(), 0.0, ""
	for _, name := range slices.Sorted(maps.Keys(after)) {
		n := float64(after[name]-before[name]) / per
		if name == "info" || strings.HasPrefix(name, "client") || strings.HasPrefix(name, "hello") || n < 0.005 {
			continue
		}
		sum += n
		profile += fmt.Sprintf(" %s %.2f,", name, n)
	}
	b.t.Logf("%s: %.2f commands:%s", what, sum, strings.TrimSuffix(profile, ","))
	return sum
}

// TestCommandsOfADelivery holds down what one enqueue and one healthy delivery cost Redis.
func TestCommandsOfADelivery(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}), func(b *bundle) {
		b.conc, b.set.ReconcileEvery = 16, time.Hour
	})
	b.enqueue("first", 1) // what is done once a process
	const n = 400
	before := b.commands()
	b.many(n)
	if got := b.ran("an enqueue", before, n); got > 13 {
		t.Errorf("an enqueue costs %.1f commands", got)
	}
	before = b.commands()
	b.start("w1")
	b.eventually("all are delivered", func() bool { return len(b.api.Requests()) == n+1 })
	b.eventually("the queue is empty", func() bool { return b.queued() == 0 })
	if got := b.ran("a delivery", before, n); got > 42 {
		t.Errorf("a delivery costs %.1f commands", got)
	}
}
