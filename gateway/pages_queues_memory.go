package gateway

import (
	"cmp"
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// unmeasured is a go-redis hook for asynqmon. With asynq v0.26 every page about queues fails if one
// task of one queue has lost its key, because the script that estimates a queue's memory adds what
// MEMORY USAGE does not give. Such a queue is shown with a memory of 0 instead.
type unmeasured struct{}

// DialHook changes nothing.
func (unmeasured) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook corrects the answer to a command.
func (unmeasured) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return forgive(cmd, next(ctx, cmd))
	}
}

// ProcessPipelineHook corrects the answers in a pipeline, which is how redisconn sends scripts.
func (unmeasured) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		var first error // of those that are left; the pipeline's own, without a connection, stands at no command
		forgiven := false
		for _, cmd := range cmds {
			failed := cmd.Err()
			left := forgive(cmd, failed)
			forgiven = forgiven || failed != nil && left == nil
			first = cmp.Or(first, left)
		}
		if forgiven {
			return first
		}
		return err
	}
}

// forgive turns the error of asynq's script into 0. It gives back any other.
func forgive(cmd redis.Cmder, err error) error {
	script, ok := cmd.(*redis.Cmd)
	if !ok || err == nil || !strings.Contains(err.Error(), "perform arithmetic on local 'bytes'") {
		return err
	}
	script.SetErr(nil)
	script.SetVal(int64(0))
	return nil
}
