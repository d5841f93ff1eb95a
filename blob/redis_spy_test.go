package blob_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// spy counts round trips. It can send a pipeline twice, as a client does that lost the first
// answer, and cut connections.
type spy struct {
	trips atomic.Int64
	twice atomic.Bool
	cut   atomic.Bool
}

// count leaves out what connecting costs.
func (s *spy) count(cmd redis.Cmder) {
	if name := cmd.Name(); name != "hello" && name != "client" {
		s.trips.Add(1)
	}
}

func (s *spy) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (s *spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.count(cmd)
		if s.cut.Load() {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return next(ctx, cmd)
	}
}

func (s *spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.count(cmds[0])
		if s.twice.Load() {
			if err := next(ctx, cmds); err != nil {
				return err
			}
		}
		return next(ctx, cmds)
	}
}
