package worker_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/hibiken/asynq"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// flaky is a blob store that can be away.
type flaky struct {
	blob.Store

	away  atomic.Bool
	gone  atomic.Bool // nobody can tell which blob store it is
	stuck atomic.Bool // nothing leaves it
}

var errAway = errors.New("no such device")

func (f *flaky) Open(ctx context.Context, e blob.Entry) (io.ReadCloser, error) {
	if f.away.Load() {
		return nil, errAway
	}
	return f.Store.Open(ctx, e)
}

func redisStore(b *bundle) blob.Store { return blob.NewRedis(b.rdb) }

// putRaw puts a task with any payload.
func (b *bundle) putRaw(id string, payload []byte) {
	b.t.Helper()
	c := asynq.NewClientFromRedisClient(b.rdb)
	_, err := c.EnqueueContext(b.ctx, asynq.NewTask(tasks.TypeUpload, payload), asynq.TaskID(id), asynq.Queue(ledger.Queue(b.account)))
	b.must(err)
}

func (b *bundle) info() *asynq.QueueInfo {
	b.t.Helper()
	info, err := asynq.NewInspectorFromRedisClient(b.rdb).GetQueueInfo(ledger.Queue(b.account))
	b.must(err)
	return info
}

func (b *bundle) queued() int   { i := b.info(); return i.Pending + i.Active + i.Retry + i.Scheduled }
func (b *bundle) retrying() int { return b.info().Retry }

// explain shows how the account stands when a test has waited in vain.
func (b *bundle) explain() {
	b.t.Helper()
	ctx := context.WithoutCancel(b.ctx)
	accounts, err := b.client.Accounts(ctx)
	for _, l := range accounts {
		if l.Account == b.account {
			b.t.Logf("account: %+v %v", l, err)
		}
	}
	page, err := b.client.List(ctx, ledger.Query{Account: b.account, Limit: 1000})
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
