package worker_test

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
)

// loseStarted loses the first reply that says that an attempt has started.
type loseStarted struct{ lost atomic.Bool }

func (*loseStarted) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (l *loseStarted) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		c, ok := cmd.(*redis.Cmd)
		if !ok || err != nil {
			return err
		}
		reply, ok := c.Val().([]any)
		if ok && len(reply) > 0 && reply[0] == "started" && l.lost.CompareAndSwap(false, true) {
			err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
			cmd.SetErr(err)
		}
		return err
	}
}

func (*loseStarted) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

// TestAttemptThatBeganUnheardGoesOn lets the network lose the ledger's word that an attempt may be
// sent: it is sent all the same, and not only when its lease is over.
func TestAttemptThatBeganUnheardGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deaf, l := b.redis(), &loseStarted{}
	deaf.AddHook(l)
	b.ledger = ledger.New(deaf, b.ls)
	id := b.enqueue("order", 1).ID
	b.start("w1")
	b.reaches(ledger.Delivered, id)
	if as := b.get(id).Attempts; len(as) != 1 || as[0].Outcome != ledger.OutcomeDelivered || !l.lost.Load() {
		t.Errorf("a reply was lost: %v; attempts %+v, want one, delivered", l.lost.Load(), as)
	}
}
