package worker

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// calm is a go-redis hook for asynq's client. asynq's loop asks for the next task at once after an
// error reply: with a full Redis it was seen to send 26,000 commands a second. So an answer that
// will not change at once is waited out.
type errorBackoff struct{ pause time.Duration }

// DialHook changes nothing.
func (c errorBackoff) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook waits after an error that would only come again.
func (c errorBackoff) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		c.rest(ctx, err)
		return err
	}
}

// ProcessPipelineHook waits after an error that would only come again.
func (c errorBackoff) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		c.rest(ctx, err)
		return err
	}
}

func (c errorBackoff) rest(ctx context.Context, err error) {
	if !lasting(err) {
		return
	}
	t := time.NewTimer(c.pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// lasting says whether an error of Redis is one that stays for a while.
func lasting(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	for _, prefix := range []string{"OOM ", "NOAUTH ", "WRONGPASS ", "NOPERM ", "READONLY ", "MISCONF ", "LOADING ", "MASTERDOWN ", "CLUSTERDOWN "} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, redis.ErrPoolTimeout)
}
