package worker

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// queueClient is Redis for one asynq server. asynq v0.26 subscribes to cancellations once, and
// again every 5 s after an error, such as that the user has no right to channels; the subscription
// that failed stays open, each with a connection. So each new one closes the one before.
type queueClient struct {
	redis.UniversalClient

	mu   sync.Mutex
	last *redis.PubSub
}

// Subscribe closes the subscription before.
func (q *queueClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last != nil {
		_ = q.last.Close() // it has failed already
	}
	q.last = q.UniversalClient.Subscribe(ctx, channels...)
	return q.last
}
