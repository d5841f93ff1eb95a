package redisconn

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// callLimit bounds a command or a pipeline with all its retries. go-redis counts its time-outs anew
// for each dial, handshake and retry, which adds up to more than anybody waits.
const callLimit = 4 * time.Second

// bounded is the hook that holds every call to callLimit, and says of a reply that was cut off that
// the network did it: by itself that error could be of anybody's file or request.
type bounded struct{}

// DialHook changes nothing.
func (bounded) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook bounds a command.
func (bounded) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		return cutOff(next(ctx, cmd), cmd)
	}
}

// ProcessPipelineHook bounds a pipeline.
func (bounded) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		return cutOff(next(ctx, cmds), cmds...)
	}
}

func cutOff(err error, cmds ...redis.Cmder) error {
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	err = &net.OpError{Op: "read", Net: "tcp", Err: io.ErrUnexpectedEOF}
	for _, cmd := range cmds {
		if errors.Is(cmd.Err(), io.ErrUnexpectedEOF) {
			cmd.SetErr(err)
		}
	}
	return err
}
