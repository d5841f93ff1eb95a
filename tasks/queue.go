package tasks

import (
	"context"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// queue puts tasks by asynq.
type queue struct{ client *asynq.Client }

func newQueue(rdb redis.UniversalClient, w *wakeups) queue {
	return queue{client: asynq.NewClientFromRedisClient(putClient{rdb, w})}
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

// message gives what asynq would put for a task.
func (q queue) message(ctx context.Context, t *asynq.Task, opts ...asynq.Option) ([]byte, error) {
	var message []byte
	_, err := q.client.EnqueueContext(context.WithValue(ctx, messageKey{}, &message), t, opts...)
	return message, err
}

// messageKey is the context's key of where a task's message goes, which then is not put: a *[]byte.
type messageKey struct{}

// saidKey is the context's key of where a script's error goes, of which asynq keeps only the text:
// an *error.
type saidKey struct{}

// putClient is Redis for asynq's client. A task that is due wakes workers: its message leaves with
// it.
type putClient struct {
	redis.UniversalClient

	wakeups *wakeups
}

// EvalSha calls a script that Redis knows.
func (c putClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if message, ok := ctx.Value(messageKey{}).(*[]byte); ok {
		*message, _ = args[0].([]byte)
		return redis.NewCmdResult(int64(1), nil)
	}
	return c.run(ctx, keys, func(to redis.Cmdable) *redis.Cmd { return to.EvalSha(ctx, sha, keys, args...) })
}

// Eval calls a script that Redis did not know.
func (c putClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, keys, func(to redis.Cmdable) *redis.Cmd { return to.Eval(ctx, script, keys, args...) })
}

func (c putClient) run(ctx context.Context, keys []string, script func(redis.Cmdable) *redis.Cmd) (cmd *redis.Cmd) {
	if queue, due := strings.CutSuffix(keys[len(keys)-1], ":pending"); due {
		pipe := c.Pipeline()
		cmd = script(pipe)
		c.wakeups.exec(ctx, pipe, "voucherd:"+strings.TrimPrefix(queue, "asynq:")+":wake")
	} else {
		cmd = script(c.UniversalClient)
	}
	if said, ok := ctx.Value(saidKey{}).(*error); ok {
		*said = cmd.Err()
	}
	return cmd
}
