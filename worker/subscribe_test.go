package worker_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// pubSubConns is how many connections for subscriptions a worker's client holds.
func pubSubConns(c *redis.Client) int { return int(c.PoolStats().PubSubStats.Active) }

// TestSubscriptionsOfARefusedUser gives the worker a Redis user without rights to channels, which
// is what Redis 7 makes of a new user: asynq tries to subscribe again and again.
func TestSubscriptionsOfARefusedUser(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	var queue *redis.Client
	b := setup(t, ownRedis(&s, redistest.Options{}), func(b *bundle) {
		b.must(s.Client().Do(b.ctx, "acl", "setuser", "worker", "on", ">pass", "~*", "+@all", "resetchannels").Err())
		b.redis = func() *redis.Client {
			queue = redis.NewClient(&redis.Options{Addr: s.Addr, Username: "worker", Password: "pass"})
			t.Cleanup(func() { _ = queue.Close() })
			return queue
		}
	})
	id := b.enqueue("order", 1).ID
	b.start("w1")
	b.reaches(ledger.Delivered, id)
	refused := func() (n int) {
		for _, line := range b.logs.FilterMessage("asynq").All() {
			if m, _ := line.ContextMap()["message"].(string); len(m) > 6 && m[:6] == "cannot" {
				n++
			}
		}
		return n
	}
	// Nor may it publish or listen: then a worker asks.
	b.reaches(ledger.Delivered, b.enqueue("order", 2).ID)
	b.eventually("asynq has tried twice", func() bool { return refused() >= 2 })
	if n := pubSubConns(queue); n > 1 {
		t.Errorf("%d connections after %d refusals, want at most 1", n, refused())
	}
}

// TestSubscriptionsWhileRedisRestarts restarts Redis under a running worker.
func TestSubscriptionsWhileRedisRestarts(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	var queue *redis.Client
	b := setup(t, neverAsks, ownRedis(&s, redistest.Options{AOF: true}), func(b *bundle) {
		b.redis = func() *redis.Client { queue = s.Client(); return queue }
	})
	b.start("w1")
	subscribed := func() bool {
		list, err := b.rdb.Do(b.ctx, "pubsub", "numsub", "asynq:cancel").Slice()
		return err == nil && len(list) == 2 && list[1] == int64(1)
	}
	for i := range 3 {
		b.eventually("asynq is subscribed", subscribed)
		s.Restart()
		// The worker may miss this message: it asks when it listens again.
		b.reaches(ledger.Delivered, b.enqueue("order", i).ID)
	}
	b.eventually("asynq is subscribed", subscribed)
	if n := pubSubConns(queue); n != 1 {
		t.Errorf("%d connections for one subscription", n)
	}
}
