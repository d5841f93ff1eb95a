package worker_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/hibiken/asynq"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/vault"
)

// flaky is a vault that can be away.
type flaky struct {
	vault.Vault

	away  atomic.Bool
	gone  atomic.Bool // nobody can tell which vault it is
	stuck atomic.Bool // nothing leaves it
}

var errAway = errors.New("no such device")

func (f *flaky) Open(ctx context.Context, e vault.Entry) (io.ReadCloser, error) {
	if f.away.Load() {
		return nil, errAway
	}
	return f.Vault.Open(ctx, e)
}

func redisVault(b *bundle) vault.Vault { return vault.NewRedis(b.rdb) }

// putRaw puts a task with any payload.
func (b *bundle) putRaw(id string, payload []byte) {
	b.t.Helper()
	c := asynq.NewClientFromRedisClient(b.rdb)
	_, err := c.EnqueueContext(b.ctx, asynq.NewTask(tasks.TypeUpload, payload), asynq.TaskID(id), asynq.Queue(ledger.Queue(b.lane)))
	b.must(err)
}

func (b *bundle) info() *asynq.QueueInfo {
	b.t.Helper()
	info, err := asynq.NewInspectorFromRedisClient(b.rdb).GetQueueInfo(ledger.Queue(b.lane))
	b.must(err)
	return info
}

func (b *bundle) queued() int   { i := b.info(); return i.Pending + i.Active + i.Retry + i.Scheduled }
func (b *bundle) retrying() int { return b.info().Retry }

// explain shows how the lane stands when a test has waited in vain.
func (b *bundle) explain() {
	b.t.Helper()
	ctx := context.WithoutCancel(b.ctx)
	lanes, err := b.client.Lanes(ctx)
	for _, l := range lanes {
		if l.Lane == b.lane {
			b.t.Logf("lane: %+v %v", l, err)
		}
	}
	page, err := b.client.List(ctx, ledger.Query{Lane: b.lane, Limit: 1000})
	for _, u := range page.Uploads {
		if !u.State.Final() {
			full, gerr := b.client.Get(ctx, u.ID)
			b.t.Logf("%+v %v", full, gerr)
		}
	}
	b.t.Logf("%v; queue %+v", err, b.info())
	for _, e := range b.logs.All() {
		if e.Level >= zapcore.InfoLevel && e.Message != "upload.attempted" {
			b.t.Logf("%s %s %s %v", e.Time.Format("15:04:05.000"), e.Level, e.Message, e.ContextMap())
		}
	}
}
