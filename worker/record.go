package worker

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// recorder writes down what became of attempts, and sees to what follows from it.
type recorder struct {
	account  string
	ledger   *ledger.Ledger
	tasks    *tasks.Client
	sweeper  *sweeper
	recent   recent
	log      *zap.Logger
	set      Settings
	givingUp chan struct{} // closed: no more tries to record an outcome
	history  string        // Redis' replication id when it knew what recent has; for watch alone
	again    time.Time     // when it is told once more; zero: it was
}

// release takes back an attempt that sent nothing, and holds the account if there is a reason.
func (r *recorder) release(ctx context.Context, run ledger.Running, reason string) {
	err := r.persist(ctx, run, func(ctx context.Context) error { return r.ledger.Release(ctx, run, reason) })
	if err != nil {
		r.log.Warn("upload.not_released", zap.String("upload_id", run.ID), zap.Error(err))
	}
}

// finish records an outcome. If that cannot be done the full result stands in the log: it exists
// only here.
func (r *recorder) finish(ctx context.Context, run ledger.Running, o ledger.AttemptResult) (rec ledger.FinishResult, err error) {
	err = r.persist(ctx, run, func(ctx context.Context) (err error) {
		rec, err = r.record(ctx, run, o)
		return err
	})
	if err != nil {
		r.logLost(run, o, err)
		return rec, err
	}
	r.recent.add(run, o)
	r.logAttempt(run, o, rec)
	return rec, nil
}

// persist writes to the ledger what must not be lost. While Redis is away it tries again, until its
// patience or the worker's time to stop is over. What Redis answers with an error of its own would
// come again: it is no outage.
func (r *recorder) persist(ctx context.Context, run ledger.Running, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.set.FinishPatience)
	defer cancel()
	for tries := 1; ; tries++ {
		try, done := context.WithTimeout(ctx, r.set.RedisTimeout)
		err := write(try)
		done()
		if err == nil || errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrScript) {
			return err
		}
		if tries == 1 {
			r.log.Warn("ledger.unreachable", zap.String("upload_id", run.ID), zap.String("what", "kept, and tried again"),
				zap.Error(err))
		}
		if !r.pause(ctx) {
			return err
		}
	}
}

// pause waits a moment for Redis to come back; false when there is no more time.
func (r *recorder) pause(ctx context.Context) bool {
	t := time.NewTimer(r.set.RedisPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-r.givingUp:
		return false
	}
}

// follow does what an ended upload brings with it: the next in the order queue gets its task, and
// its voucher leaves the store. What fails here the reconciler does.
func (r *recorder) follow(ctx context.Context, run ledger.Running, o ledger.AttemptResult, rec ledger.FinishResult) {
	r.putNext(ctx, rec)
	switch rec.State {
	case ledger.Delivered:
		if run.StoreKey != "" { // else the ledger dropped it
			r.sweeper.add(swept{id: run.ID, storeKey: run.StoreKey, state: rec.State, delivery: run.Delivery(o)})
		}
	case ledger.Rejected, ledger.Expired:
		if o.Outcome != ledger.OutcomeInvalid { // else there is nothing to note it beside
			r.sweeper.add(swept{storeKey: run.StoreKey, state: rec.State})
		}
	case ledger.Queued, ledger.Sending, ledger.Waiting, ledger.Discarded:
	}
}

// putNext puts the task of the upload that is next in its order queue.
func (r *recorder) putNext(ctx context.Context, rec ledger.FinishResult) {
	if rec.NextID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(untraced(ctx), r.set.RedisTimeout)
	defer cancel()
	if err := r.tasks.Put(ctx, ledger.Task{ID: rec.NextID, Generation: rec.NextGen}, 0); err != nil {
		r.log.Warn("task.not_put", zap.String("upload_id", rec.NextID), zap.Error(err))
	}
}

// record writes an outcome down. An upload that was delivered, and whose record Redis has lost,
// gets one again.
func (r *recorder) record(ctx context.Context, run ledger.Running, o ledger.AttemptResult) (ledger.FinishResult, error) {
	rec, err := r.ledger.Finish(ctx, run, o)
	if !errors.Is(err, ledger.ErrNotFound) || o.Outcome != ledger.OutcomeDelivered {
		return rec, err
	}
	_, err = r.ledger.Open(ctx, ledger.NewUpload{
		Account: run.Account, OrderID: run.OrderID, UserID: run.UserID, SHA256: run.SHA256, CRC32C: run.CRC32C, Size: run.Size,
		StoreKey: run.StoreKey, Inline: []byte(strings.Join(run.Pieces, "")),
	})
	if err != nil {
		return rec, err
	}
	return r.ledger.Finish(ctx, run, o)
}
