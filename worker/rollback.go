package worker

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
)

// A Redis that comes back without its last writes (a replica took over, or the end of its log was lost) no longer knows
// of attempts that were made. The worker that made them does, for a while, and so does a blob store that outlives Redis.

// deliveredError says that an upload is not sent, because its blob store knows that it was delivered.
type deliveredError struct{ attempt ledger.Attempt }

func (*deliveredError) Error() string { return "delivered already, as the blob store knows" }

// encodeDelivery writes an attempt for the store.
func encodeDelivery(a ledger.Attempt) json.RawMessage {
	text, err := json.Marshal(a)
	if err != nil { // times beyond the year 9999
		return nil
	}
	return text
}

// knownDelivery asks the blob store whether it knows a voucher as delivered: then it gives a *deliveredError.
func (l *account) knownDelivery(ctx context.Context, storeKey string) error {
	n, err := l.store.Noted(ctx, storeKey)
	if err != nil || n.State != string(ledger.Delivered) {
		return nil //nolint:nilerr // then Open's own error counts
	}
	var a ledger.Attempt
	if err := json.Unmarshal(n.Result, &a); err != nil {
		return nil //nolint:nilerr // as good as none
	}
	return &deliveredError{a}
}

// recordDelivered records a delivery that only the blob store knew of, instead of the attempt that has just begun.
func (l *account) recordDelivered(ctx context.Context, run ledger.Running, a ledger.Attempt) (rec ledger.FinishResult, err error) {
	l.release(ctx, run, false)
	err = l.persist(ctx, run, func(ctx context.Context) (err error) {
		rec, err = l.ledger.RecordDelivery(ctx, run.ID, a)
		return err
	})
	if err != nil {
		return rec, &retryLater{Delay: l.set.RedisPause, Reason: "a delivery could not be recorded"}
	}
	l.log.Warn("upload.found_delivered", zap.String("upload_id", run.ID), zap.String("order_id", run.OrderID),
		zap.String("request_id", a.RequestID), zap.Stringer("delivered_at", a.EndedAt))
	l.putNext(ctx, rec)
	return rec, nil
}

// record writes an outcome down. An upload that was delivered, and whose record Redis has lost, gets one again.
func (l *account) record(ctx context.Context, run ledger.Running, o ledger.AttemptResult) (ledger.FinishResult, error) {
	rec, err := l.ledger.Finish(ctx, run, o)
	if !errors.Is(err, ledger.ErrNotFound) || o.Outcome != ledger.OutcomeDelivered {
		return rec, err
	}
	_, err = l.ledger.Open(ctx, ledger.NewUpload{
		Account: run.Account, OrderID: run.OrderID, UserID: run.UserID, SHA256: run.SHA256, CRC32C: run.CRC32C, Size: run.Size,
		StoreKey: run.StoreKey, Inline: []byte(strings.Join(run.Pieces, "")),
	})
	if err != nil {
		return rec, err
	}
	return l.ledger.Finish(ctx, run, o)
}

// recent keeps what this worker has recorded of late, so that a Redis that has lost it can be told again.
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

// watch tells a Redis that is another process than before what this worker has recorded of late. Most often it knows.
func (l *account) watch(ctx context.Context) {
	server, err := l.ledger.Server(ctx, l.name)
	if err != nil || server == l.server {
		return
	}
	if l.server == "" {
		l.server = server
		return
	}
	told := l.recent.all()
	lost := 0
	for _, r := range told {
		rec, err := l.record(ctx, r.run, r.o)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) && !errors.Is(err, ledger.ErrScript) {
			l.log.Warn("ledger.unreachable", zap.Error(err))
			return // the next pass begins again
		}
		if err == nil && rec.How != "repeated" {
			lost++
			l.follow(ctx, r.run, r.o, rec)
		}
	}
	l.server = server
	l.log.Warn("redis.replaced", zap.Int("outcomes_told_again", len(told)), zap.Int("outcomes_it_had_lost", lost))
}
