package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// replicasLimit is how long replicas may take to acknowledge; less than a client waits for a reply.
const replicasLimit = time.Second

// ReplicasError says that Redis recorded something and too few of its replicas have it: if it fails
// now, that may be lost.
type ReplicasError struct{ Have, Want int }

func (e *ReplicasError) Error() string {
	return fmt.Sprintf("only %d of the %d replicas asked for have it after %v: enqueue it again, which is safe, until they do",
		e.Have, e.Want, replicasLimit)
}

// AwaitReplicas returns once so many replicas have all that was written for an account before; with
// 0, at once. The error is a *ReplicasError when they do not within a second.
func (l *Ledger) AwaitReplicas(ctx context.Context, account string, want int) error {
	if want == 0 {
		return nil
	}
	rdb, err := l.node(ctx, account)
	if err != nil {
		return err
	}
	// WAIT counts from the last write of its own connection.
	var have *redis.Cmd
	_, err = rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, prefix(account)+"awaited", "", 0)
		have = pipe.Do(ctx, "wait", want, replicasLimit.Milliseconds())
		return nil
	})
	n, _ := have.Int()
	l.lookAnew(ctx, err)
	if _, moved := redis.IsMovedError(err); moved || redis.HasErrorPrefix(err, "ASK ") {
		n, err = 0, nil
	}
	if err != nil {
		return fmt.Errorf("await the replicas: %w", err)
	}
	if n < want {
		return &ReplicasError{Have: n, Want: want}
	}
	return nil
}
