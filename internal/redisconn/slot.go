package redisconn

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// wholeSlot is a hook that lets a cluster run a script only while it has the whole of its slot.
//
// Scripts, asynq's too, touch keys that they do not name. While a slot moves to another node, each
// node has some of its keys: a script would take those that are elsewhere for missing, or be cut
// off in the midst. A cluster answers TRYAGAIN, and runs nothing, when a command names several keys
// and the node lacks one. So every script names one more, which never exists.
type wholeSlot struct{}

// DialHook changes nothing.
func (wholeSlot) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook guards a script.
func (wholeSlot) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		guarded := guard(ctx, cmd)
		err := next(ctx, guarded)
		takeOver(cmd, guarded)
		return err
	}
}

// ProcessPipelineHook guards the scripts of a pipeline, and sends each on its own, all at the same
// time: after some errors go-redis sends all of a cluster's pipeline again, what has run included,
// and what has moved even twice at once.
func (wholeSlot) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) (err error) {
		if len(cmds) == 1 || !slices.ContainsFunc(cmds, isScript) {
			return sendGuarded(ctx, cmds, next)
		}
		var all sync.WaitGroup
		for i := range cmds {
			all.Go(func() { _ = sendGuarded(ctx, cmds[i:i+1], next) }) // each command has its own error
		}
		all.Wait()
		for _, cmd := range cmds {
			err = cmp.Or(err, cmd.Err())
		}
		return err
	}
}

func sendGuarded(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error {
	guarded := make([]redis.Cmder, len(cmds))
	for i, cmd := range cmds {
		guarded[i] = guard(ctx, cmd)
	}
	err := next(ctx, guarded)
	for i, cmd := range cmds {
		takeOver(cmd, guarded[i])
		err = cmp.Or(err, cmd.Err())
	}
	return err
}

func isScript(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" || cmd.Name() == "eval" }

const (
	scriptKeys = 2 // place of the number of a script's keys, which come next
	firstKey   = scriptKeys + 1

	// guardKey ends the name of a key that never exists.
	guardKey = ":none"
	// counters is in the keys of asynq's one script that reads whatever keys it is given.
	counters = "}:processed:"
)

// guard gives a script that names one more key, or the command itself.
func guard(ctx context.Context, cmd redis.Cmder) redis.Cmder {
	args := cmd.Args()
	script, isCmd := cmd.(*redis.Cmd)
	if !isCmd || len(args) <= firstKey || !isScript(cmd) {
		return cmd
	}
	n, isInt := args[scriptKeys].(int)
	key, isText := args[firstKey].(string)
	if !isInt || !isText || n < 1 || len(args) < firstKey+n || strings.Contains(key, counters) {
		return cmd
	}
	more := slices.Insert(slices.Clone(script.Args()), firstKey+n, any(key+guardKey))
	more[scriptKeys] = n + 1
	return redis.NewCmd(ctx, more...)
}

// takeOver gives a command what its guarded copy got.
func takeOver(cmd, guarded redis.Cmder) {
	to, ok := cmd.(*redis.Cmd)
	from, isCopy := guarded.(*redis.Cmd)
	if ok && isCopy && to != from {
		to.SetVal(from.Val())
		to.SetErr(from.Err())
	}
}
