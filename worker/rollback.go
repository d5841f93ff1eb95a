package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
)

// A Redis that comes back without its last writes (a replica took over, or the end of its log was
// lost) no longer knows of attempts that were made. The worker that made them does, for a while,
// and so does a blob store that outlives Redis.

// recordDelivered records a delivery that only the blob store knew of, instead of the attempt that
// has just begun.
func (r *recorder) recordDelivered(ctx context.Context, run ledger.Running, a ledger.Attempt) (rec ledger.FinishResult, err error) {
	r.release(ctx, run, "")
	err = r.persist(ctx, run, func(ctx context.Context) (err error) {
		rec, err = r.ledger.RecordDelivery(ctx, run.ID, a)
		return err
	})
	if err != nil {
		return rec, &retryLater{Delay: r.set.RedisPause, Reason: "a delivery could not be recorded"}
	}
	r.log.Warn("upload.found_delivered", zap.String("upload_id", run.ID), zap.String("order_id", run.OrderID),
		zap.String("request_id", a.RequestID), zap.Stringer("delivered_at", a.EndedAt))
	r.putNext(ctx, rec)
	return rec, nil
}

// recent keeps what this worker has recorded of late, so that a Redis that has lost it can be told
// again.
type recent struct {
	mu       sync.Mutex
	outcomes []recorded // oldest first
}

type recorded struct {
	run ledger.Running
	o   ledger.AttemptResult
	at  time.Time
}

const (
	recentFor  = time.Minute // far longer than a replica lags behind, or an append-only file is written late
	recentMost = 5_000       // outcomes, so that memory is bounded

	// A former master may take what a connection of this worker still brings it, and lose it: sentinels
	// demote one after 8 s and more. So the Redis that took its place is told once more when that is over.
	demotedFor = 15 * time.Second
)

func (r *recent) add(run ledger.Running, o ledger.AttemptResult) {
	run.Pieces = nil
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	old := max(0, len(r.outcomes)+1-recentMost)
	for old < len(r.outcomes) && now.Sub(r.outcomes[old].at) > recentFor {
		old++
	}
	r.outcomes = append(r.outcomes[old:], recorded{run, o, now})
}

func (r *recent) all() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]recorded(nil), r.outcomes...)
}

// watch tells a Redis that was restarted or promoted what this worker has recorded of late, at once and
// again after demotedFor. Most often it knows.
func (r *recorder) watch(ctx context.Context) {
	history, err := r.ledger.ReplicationID(ctx, r.account)
	if err != nil {
		return
	}
	now, replaced := time.Now(), history != r.history
	switch {
	case r.history == "":
		r.history = history
		return
	case !replaced && (r.again.IsZero() || now.Before(r.again)):
		return
	}
	told := r.recent.all()
	lost := 0
	for _, t := range told {
		rec, err := r.record(ctx, t.run, t.o)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) && !errors.Is(err, ledger.ErrScript) {
			r.log.Warn("ledger.unreachable", zap.Error(err))
			return // the next pass begins again
		}
		if err == nil && rec.How != "repeated" {
			lost++
			r.follow(ctx, t.run, t.o, rec)
		}
	}
	r.history, r.again = history, time.Time{}
	if replaced {
		r.again = now.Add(demotedFor)
	} else if lost == 0 {
		return
	}
	r.log.Warn("redis.replaced", zap.Int("outcomes_told_again", len(told)), zap.Int("outcomes_it_had_lost", lost))
}
