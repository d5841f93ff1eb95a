package redisconn

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/stack"
)

// flights is how many merged pipelines may be under way at a time: with one, a Redis that is far
// away would answer only one after the other; with many, there would be little to merge.
const flights = 4

// Merger is a hook that sends the scripts called at the same time as one pipeline, alone or in
// pipelines of their own. A round trip costs both ends far more than a script of ours does, so
// under load this decides the rate; a call that is alone leaves at once.
type Merger struct {
	rdb     redis.UniversalClient
	mu      sync.Mutex
	waiting []*mergedCall
	flying  int
}

// NewMerger gives the hook for rdb, which is to be added to rdb and nothing else.
func NewMerger(rdb redis.UniversalClient) *Merger { return &Merger{rdb: rdb} }

// mergedCall is a call under way. Its commands are copies of the caller's, who may have left
// meanwhile.
type mergedCall struct {
	cmds []*redis.Cmd
	done chan struct{}
}

// DialHook changes nothing.
func (m *Merger) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook merges calls of scripts and leaves all else alone.
func (m *Merger) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if scripts, ok := mergeable(cmd); ok {
			return m.call(ctx, scripts)
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook merges pipelines of scripts, which keep their order, and leaves all else
// alone.
func (m *Merger) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if scripts, ok := mergeable(cmds...); ok && ctx.Value(mergedKey{}) == nil {
			return m.call(ctx, scripts)
		}
		return next(ctx, cmds)
	}
}

// mergedKey marks the context of a pipeline that is merged already.
type mergedKey struct{}

// mergeable gives commands that are all scripts, or messages and results of tasks, which go with them.
func mergeable(cmds ...redis.Cmder) (scripts []*redis.Cmd, ok bool) {
	for _, cmd := range cmds {
		script, isCmd := cmd.(*redis.Cmd)
		if !isCmd {
			return nil, false
		}
		switch cmd.Name() {
		case "evalsha", "publish", "spublish", "hset":
		default:
			return nil, false
		}
		scripts = append(scripts, script)
	}
	return scripts, true
}

// call sends commands with those of others. The error is the first of theirs.
func (m *Merger) call(ctx context.Context, cmds []*redis.Cmd) (err error) {
	call := &mergedCall{done: make(chan struct{})}
	for _, cmd := range cmds {
		call.cmds = append(call.cmds, redis.NewCmd(context.WithoutCancel(ctx), cmd.Args()...))
	}
	m.join(call) //nolint:contextcheck // the pipeline serves many callers, and its end is not any one's
	select {
	case <-call.done:
		for i, cmd := range cmds {
			cmd.SetVal(call.cmds[i].Val())
			cmd.SetErr(call.cmds[i].Err())
			err = cmp.Or(err, cmd.Err())
		}
	case <-ctx.Done():
		err = ctx.Err()
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	return err
}

func (m *Merger) join(c *mergedCall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, c)
	if m.flying < flights {
		m.flying++
		go m.fly()
	}
}

// ExecEach sends a pipeline, after which each command has its own error. By itself go-redis leaves
// none at them when the connection could not be made: with a wrong password they would all seem to
// have succeeded.
func ExecEach(ctx context.Context, pipe redis.Pipeliner) {
	cmds, err := pipe.Exec(ctx)
	if err == nil || slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Err() != nil }) {
		return
	}
	for _, c := range cmds {
		c.SetErr(err)
	}
}

// fly sends what waits until nothing does.
func (m *Merger) fly() {
	stack.Grow()
	ctx := context.WithValue(context.Background(), mergedKey{}, true)
	runtime.Gosched() // lets those join who are about to
	for calls := m.take(); len(calls) > 0; calls = m.take() {
		pipe := m.rdb.Pipeline()
		for _, c := range calls {
			for _, cmd := range c.cmds {
				_ = pipe.Process(ctx, cmd) // only queues it
			}
		}
		ExecEach(ctx, pipe)
		for _, c := range calls {
			close(c.done)
		}
		runtime.Gosched()
	}
}

func (m *Merger) take() []*mergedCall {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls := m.waiting
	m.waiting = nil
	if len(calls) == 0 {
		m.flying--
	}
	return calls
}
