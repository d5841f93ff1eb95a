package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/stack"
)

// queueClient is Redis for one asynq server. It stands before all hooks of the client.
//
// asynq v0.26 subscribes to cancellations once, and again every 5 s after an error, such as that
// the user has no right to channels; the subscription that failed stays open, each with a
// connection. So each new one closes the one before.
type queueClient struct {
	redis.UniversalClient

	fetch *fetcher
	most  int // tasks that the server has at a time

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

// EvalSha calls a script that Redis knows. To dequeue waits until there may be a task; tasks that
// are forwarded wake who waits.
func (q *queueClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	stack.Grow() // asynq ends a task in a goroutine of its own
	script := func(to redis.Cmdable) *redis.Cmd { return to.EvalSha(ctx, sha, keys, args...) }
	switch {
	case slices.Equal(keys, q.fetch.keys.dequeue()):
		return q.fetch.next(ctx, q.most, args[0])
	case q.fetch.keys.forward(keys):
		return q.fetch.forward(ctx, keys[0], fmt.Sprint(args[0]), script)
	default:
		return script(q.UniversalClient)
	}
}

// Eval calls a script that Redis did not know, right after EvalSha of it.
func (q *queueClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	call := func(to redis.Cmdable) *redis.Cmd { return to.Eval(ctx, script, keys, args...) }
	if q.fetch.keys.forward(keys) {
		return q.fetch.forward(ctx, keys[0], fmt.Sprint(args[0]), call)
	}
	return call(q.UniversalClient)
}

// HSet writes the result of a task, together with others' calls.
func (q *queueClient) HSet(ctx context.Context, key string, values ...any) *redis.IntCmd {
	return redis.NewIntResult(q.Do(ctx, append([]any{"hset", key}, values...)...).Int64())
}

// queueKeys are asynq's keys of a queue.
type queueKeys struct{ prefix, pending, active, lease string }

func keysOf(queue string) queueKeys {
	prefix := "asynq:{" + queue + "}:"
	return queueKeys{prefix: prefix, pending: prefix + "pending", active: prefix + "active", lease: prefix + "lease"}
}

// dequeue are the keys of asynq's script that takes a task from the queue.
func (k queueKeys) dequeue() []string {
	return []string{k.pending, k.prefix + "paused", k.active, k.lease}
}

// forward says whether keys are those of asynq's script that makes tasks pending when they are due.
func (k queueKeys) forward(keys []string) bool {
	return len(keys) == 2 && keys[1] == k.pending && (keys[0] == k.prefix+"scheduled" || keys[0] == k.prefix+"retry")
}
