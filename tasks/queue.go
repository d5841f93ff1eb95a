package tasks

import (
	"context"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// queue puts tasks by asynq. asynq keeps only the text of what Redis says to a script, so the error
// itself is taken on its way to asynq.
type queue struct{ client *asynq.Client }

func newQueue(rdb redis.UniversalClient) queue {
	return queue{client: asynq.NewClientFromRedisClient(scriptErrors{rdb})}
}

// put puts a task. Errors are asynq's own, or Redis' as they came.
func (q queue) put(ctx context.Context, t *asynq.Task, opts ...asynq.Option) error {
	var said error
	_, err := q.client.EnqueueContext(context.WithValue(ctx, saidKey{}, &said), t, opts...)
	if err != nil && said != nil {
		return said
	}
	return err
}

// saidKey is the context's key of where a script's error goes: an *error.
type saidKey struct{}

// scriptErrors is a client that notes the errors of scripts.
type scriptErrors struct{ redis.UniversalClient }

// EvalSha calls a script that Redis knows.
func (s scriptErrors) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return noted(ctx, s.UniversalClient.EvalSha(ctx, sha, keys, args...))
}

// Eval calls a script that Redis did not know.
func (s scriptErrors) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return noted(ctx, s.UniversalClient.Eval(ctx, script, keys, args...))
}

// noted notes the last error of a call.
func noted(ctx context.Context, cmd *redis.Cmd) *redis.Cmd {
	if said, ok := ctx.Value(saidKey{}).(*error); ok {
		*said = cmd.Err()
	}
	return cmd
}
