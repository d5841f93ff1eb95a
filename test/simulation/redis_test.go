package simulation

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
)

// memory is a Redis in memory, by the bubble's clock, whose own clock can be told to go wrong.
type memory struct {
	*miniredis.Miniredis

	ahead atomic.Int64 // how far its TIME is ahead of the bubble's clock, ns
}

func newMemory() (*memory, error) {
	m := &memory{Miniredis: miniredis.NewMiniRedis()}
	c, err := m.Dial() // starts it
	if err != nil {
		return nil, err
	}
	m.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
		ahead := m.ahead.Load()
		if cmd != "TIME" || ahead == 0 {
			return false
		}
		now := time.Now().Add(time.Duration(ahead)).UnixMicro()
		p.WriteLen(2)
		p.WriteBulk(strconv.FormatInt(now/1e6, 10))
		p.WriteBulk(strconv.FormatInt(now%1e6, 10))
		return true
	})
	return m, c.Close()
}

// expireEvery is the grain of what expires: each time miniredis looks at all keys, and its ClockTTL
// would do so with every command.
const expireEvery = 5 * time.Minute

// expire lets keys expire until the context ends.
func (m *memory) expire(ctx context.Context) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.FastForward(expireEvery)
		case <-ctx.Done():
			return
		}
	}
}

func (m *memory) accept(c net.Conn) error {
	m.Server().ServeConn(c)
	return nil
}

// do runs a command past the network: the story's own.
func (m *memory) do(args ...string) string {
	var out bytes.Buffer
	p := server.NewPeer(bufio.NewWriter(&out))
	m.Server().Dispatch(p, args)
	p.Flush()
	return out.String()
}

// asynqKey gives a key of asynq's for the account.
func asynqKey(name string) string { return "asynq:{" + ledger.Queue(account) + "}:" + name }

// flushQueue empties the queue, as somebody might by hand.
func (m *memory) flushQueue() {
	for _, k := range m.Keys() {
		if strings.HasPrefix(k, asynqKey("")) {
			m.Del(k)
		}
	}
}

// handOutAgain makes tasks that are under way pending a second time, as a queue may that has lost
// its last writes. It gives how many.
func (m *memory) handOutAgain() int {
	ids, err := m.List(asynqKey("active"))
	if err != nil { // there are none
		return 0
	}
	for _, id := range ids {
		m.do("HSET", asynqKey("t:"+id), "state", "pending")
		m.do("LPUSH", asynqKey("pending"), id)
	}
	m.do("PUBLISH", "voucherd:{"+ledger.Queue(account)+"}:wake", "")
	return len(ids)
}

// client gives a process its client of Redis: voucherd's own, with all that it does to calls. It has
// more connections than it ever needs: for who waits for one go-redis keeps timers that it shares
// between all clients, and so between bubbles, which ends the process.
func (m *memory) client(p *process) (redis.UniversalClient, error) {
	const plenty = 2_000
	rdb, err := redisconn.Open("redis://127.0.0.1:1", plenty)
	if err != nil {
		return nil, err
	}
	rdb.AddHook(shortcuts{m, p})
	return rdb, nil
}

// shortcuts is a hook that connects a process to memory. It also spares what an idle asynq server
// sends all the time, where that reads nothing and nothing reads it: it would be most of a week.
type shortcuts struct {
	redis *memory
	*process
}

// forwardEvery is how often a simulated asynq looks for tasks whose time has come.
const forwardEvery = 30 * time.Second

// DialHook dials memory.
func (s shortcuts) DialHook(redis.DialHook) redis.DialHook { return s.link.dial }

// ProcessHook spares single commands.
func (s shortcuts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "zcount" && textArg(cmd, 1) == asynqKey("scheduled") { // the forwarder, each second
			t := time.NewTimer(forwardEvery - time.Second)
			defer t.Stop()
			select {
			case <-t.C:
			case <-s.stopping.Done():
			}
			ctx = context.WithoutCancel(ctx)
		}
		return s.burn(func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook spares scripts, which come as pipelines here.
func (s shortcuts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if s.link.is() == up {
			cmds = slices.DeleteFunc(slices.Clone(cmds), s.spare)
		}
		if len(cmds) == 0 {
			return nil
		}
		return s.burn(func() error { return next(ctx, cmds) })
	}
}

// spare answers a script of asynq's that would find nothing to do.
func (s shortcuts) spare(cmd redis.Cmder) bool {
	script, ok := cmd.(*redis.Cmd)
	if !ok || cmd.Name() != "evalsha" {
		return false
	}
	switch k := textArg(cmd, 3); {
	case k == asynqKey("lease") && len(cmd.Args()) == 6 && s.none(k, fmt.Sprint(cmd.Args()[4])): // the recoverer, each minute
		script.SetVal([]any{})
	case k == asynqKey("aggregation_sets") && !s.redis.Exists(k): // the same
		script.SetVal("OK")
	case k == asynqKey("completed") && !s.redis.Exists(k): // the janitor, each minute
		script.SetVal(int64(0))
	default:
		return false
	}
	return true
}

// none says that a sorted set has nothing up to a score.
func (s shortcuts) none(set, score string) bool {
	return s.redis.do("ZCOUNT", set, "-inf", score) == ":0\r\n"
}

func textArg(cmd redis.Cmder, i int) string {
	args := cmd.Args()
	if i >= len(args) {
		return ""
	}
	k, _ := args[i].(string)
	return k
}
