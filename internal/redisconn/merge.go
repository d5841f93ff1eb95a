package redisconn

import (
	"context"
	"runtime"
	"sync"

	"github.com/redis/go-redis/v9"
)

// flights is how many merged pipelines may be under way at a time: with one, a Redis that is far
// away would answer only one after the other; with many, there would be little to merge.
const flights = 4

// Merger is a hook that sends the scripts called at the same time as one pipeline. A round trip
// costs both ends far more than a script of ours does, so under load this decides the rate; a call
// that is alone leaves at once.
type Merger struct {
	rdb     redis.UniversalClient
	mu      sync.Mutex
	waiting []*mergedCall
	flying  int
}

// NewMerger gives the hook for rdb, which is to be added to rdb and nothing else.
func NewMerger(rdb redis.UniversalClient) *Merger { return &Merger{rdb: rdb} }

// mergedCall is a call under way. Its command is a copy of the caller's, who may have left
// meanwhile.
type mergedCall struct {
	cmd  *redis.Cmd
	done chan struct{}
}

// DialHook changes nothing.
func (m *Merger) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (m *Merger) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook merges calls of scripts and leaves all else alone.
func (m *Merger) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		script, ok := cmd.(*redis.Cmd)
		if !ok || cmd.Name() != "evalsha" {
			return next(ctx, cmd)
		}
		call := &mergedCall{cmd: redis.NewCmd(context.WithoutCancel(ctx), script.Args()...), done: make(chan struct{})}
		m.join(call) //nolint:contextcheck // the pipeline serves many callers, and its end is not any one's
		select {
		case <-call.done:
			script.SetVal(call.cmd.Val())
			script.SetErr(call.cmd.Err())
		case <-ctx.Done():
			script.SetErr(ctx.Err())
		}
		return script.Err()
	}
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

// fly sends what waits until nothing does.
func (m *Merger) fly() {
	runtime.Gosched() // lets those join who are about to
	for calls := m.take(); len(calls) > 0; calls = m.take() {
		pipe := m.rdb.Pipeline()
		for _, c := range calls {
			_ = pipe.Process(context.Background(), c.cmd) // only queues it
		}
		_, _ = pipe.Exec(context.Background()) // each command has its own error
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
