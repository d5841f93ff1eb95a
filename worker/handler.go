package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

// retryLater is the error that hands a task back to asynq, due again after Delay. Only an attempt that failed counts as
// a failure in asynq's statistics; a task that merely waited does not.
type retryLater struct { //nolint:errname // it says what happens next
	Delay  time.Duration
	Failed bool
	Reason string
}

func (g *retryLater) Error() string { return g.Reason }

// isFailure is asynq's IsFailure.
func isFailure(err error) bool {
	if g, ok := errors.AsType[*retryLater](err); ok {
		return g.Failed
	}
	return !errors.Is(err, asynq.ErrLeaseExpired)
}

// retryDelay is asynq's RetryDelayFunc: our error carries the delay. Any other is asynq's own (a lost lease) or a
// fault of ours (a panic); then the ledger's lease keeps the upload from being sent twice, and it may be asked soon.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if g, ok := errors.AsType[*retryLater](err); ok {
		return g.Delay
	}
	return time.Second
}

// ProcessTask delivers the upload of one task, or hands the task back with the time at which it is due again.
func (l *account) ProcessTask(ctx context.Context, t *asynq.Task) error {
	p, err := l.read(t)
	if errors.Is(err, tasks.ErrNewerPayload) {
		return &retryLater{Delay: strangeDelay, Reason: err.Error()}
	}
	if err != nil {
		// Neither tried again nor archived: nobody could make anything of it later.
		l.log.Warn("task.unreadable", zap.String("task_id", t.ResultWriter().TaskID()), zap.Error(err))
		return fmt.Errorf("%w: %w", err, asynq.RevokeTask)
	}
	rec, err := l.deliver(ctx, p)
	if err != nil {
		return err
	}
	return l.after(t, p, rec)
}

// errForeign means that a task is not one of the account's uploads. It must not be sent with the account's key.
var errForeign = errors.New("not a task of this account's uploads")

// read gives what a task carries.
func (l *account) read(t *asynq.Task) (tasks.Payload, error) {
	if t.Type() != tasks.TypeUpload {
		return tasks.Payload{}, errForeign
	}
	p, err := tasks.ParsePayload(t.Payload())
	if err != nil {
		return p, err
	}
	if account, _, err := ledger.ParseID(p.ID); err != nil || account != l.name {
		return p, errForeign
	}
	return p, nil
}

// strangeDelay is for what this worker cannot read: a newer one, or a person, may get to it meanwhile.
const strangeDelay = time.Minute

// deliver takes a task through the breaker and makes one attempt.
func (l *account) deliver(ctx context.Context, p tasks.Payload) (ledger.FinishResult, error) {
	for {
		if err := l.slots.enter(ctx, l.stopping, l.set.HoldLimit); err != nil {
			return ledger.FinishResult{}, &retryLater{Reason: err.Error()}
		}
		rec, again, err := l.attempt(ctx, p)
		if !again {
			return rec, err
		}
	}
}

// attempt asks the ledger whether the upload may be sent, and if so sends it. It gives back the slot. Again means that
// the account is held and the task waits on.
func (l *account) attempt(ctx context.Context, p tasks.Payload) (rec ledger.FinishResult, again bool, err error) {
	success := false
	defer func() { l.slots.leave(success) }()

	// The call and Finish must not be cut off by what happens to the task: they have deadlines of their own. The call's
	// is counted from here, before Begin, so that it is over before the lease of the attempt ends.
	detached := context.WithoutCancel(ctx)
	began := time.Now()
	b, err := l.begin(detached, p)
	if err != nil {
		return rec, false, l.notBegun(p, err)
	}
	switch b.Answer {
	case ledger.Held:
		l.slots.hold(b.Hold.Wait)
		return rec, true, nil
	case ledger.Busy, ledger.Early:
		return rec, false, &retryLater{Delay: b.Hold.Wait, Reason: "not yet: " + string(b.Answer)}
	case ledger.Stale:
		return rec, false, fmt.Errorf("no longer counts (%s): %w", b.Hold.Reason, asynq.RevokeTask)
	case ledger.Started:
	}
	outcome, err := l.send(detached, b.Running, began.Add(l.set.CallTimeout))
	if known, ok := errors.AsType[*deliveredError](err); ok {
		rec, err = l.recordDelivered(detached, b.Running, known.attempt)
		return rec, false, err
	}
	if err != nil {
		l.log.Warn("store.unreachable", zap.String("upload_id", p.ID), zap.Error(err))
		l.release(detached, b.Running, true)
		return rec, true, nil
	}
	l.count.Attempted(l.name, outcome.Outcome, outcome.Duration)
	rec, err = l.finish(detached, b.Running, outcome)
	if err != nil {
		return rec, false, &retryLater{Delay: l.set.RedisPause, Reason: "the outcome could not be recorded"}
	}
	if rec.BreakerReason != "" {
		l.slots.hold(rec.BreakerWait)
	}
	success = outcome.Outcome == ledger.OutcomeDelivered || outcome.Fault == ledger.FaultFinal
	l.follow(detached, b.Running, outcome, rec)
	if !rec.State.Final() {
		return rec, false, &retryLater{Delay: rec.Wait, Failed: !rec.Account, Reason: reason(outcome)}
	}
	return rec, false, nil
}

// notBegun hands the task back: Redis is away, or cannot run the ledger's script on this record, which is then not the
// other uploads' trouble.
func (l *account) notBegun(p tasks.Payload, err error) error {
	if errors.Is(err, ledger.ErrScript) || errors.Is(err, ledger.ErrNewerRecord) {
		l.log.Error("upload.not_begun", zap.String("upload_id", p.ID), zap.Error(err))
		return &retryLater{Delay: strangeDelay, Reason: "its record cannot be read"}
	}
	l.log.Warn("ledger.unreachable", zap.String("upload_id", p.ID), zap.Error(err))
	return &retryLater{Delay: l.set.RedisPause, Reason: "the ledger cannot be reached"}
}

func (l *account) begin(ctx context.Context, p tasks.Payload) (ledger.BeginResult, error) {
	ctx, cancel := context.WithTimeout(ctx, l.set.RedisTimeout)
	defer cancel()
	return l.ledger.Begin(ctx, ledger.NewAttempt{
		ID: p.ID, Generation: p.Generation, Nonce: pandapon.NewNonce(), Worker: l.set.Name,
		Lease: l.set.CallTimeout + l.set.LeaseMargin,
	})
}

// send makes the call. The error is the blob store's, when it is away and nothing was sent, or a *deliveredError.
func (l *account) send(ctx context.Context, run ledger.Running, deadline time.Time) (ledger.AttemptResult, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	tried := ledgerTried(run)
	started := time.Now()
	voucher, err := l.open(ctx, run)
	if err != nil && !errors.Is(err, blob.ErrMissing) && !errors.Is(err, blob.ErrDamaged) {
		return ledger.AttemptResult{}, err
	}
	var receipt pandapon.Receipt
	if err == nil {
		receipt, err = l.upload(ctx, run, voucher)
		if cerr := voucher.Close(); cerr != nil {
			l.log.Debug("store.close", zap.String("upload_id", run.ID), zap.Error(cerr))
		}
	}
	o := l.policy.Decide(receipt, err, tried)
	o.Duration = time.Since(started)
	l.skew.observe(ctx, l, sampleOf(receipt, err))
	return o, nil
}

// open gives the voucher, which may have come along with Begin.
func (l *account) open(ctx context.Context, run ledger.Running) (io.ReadCloser, error) {
	e := blob.Entry{Key: run.StoreKey, Size: run.Size, SHA256: run.SHA256, CRC32C: run.CRC32C}
	if run.Inline {
		return l.openInline(ctx, run, e)
	}
	if l.ledger.Settings().KeepSent > 0 { // that it is still there does not mean that it is still to be sent
		if err := l.knownDelivery(ctx, run.StoreKey); err != nil {
			return nil, err
		}
	}
	r, err := l.store.Open(ctx, e)
	if errors.Is(err, blob.ErrMissing) {
		if known := l.knownDelivery(ctx, run.StoreKey); known != nil {
			return nil, known
		}
		err = fmt.Errorf("%w; if redis has lost its last writes, it may have arrived", err)
	}
	return r, err
}

// openInline gives a voucher that the ledger keeps, which may have come along with Begin.
func (l *account) openInline(ctx context.Context, run ledger.Running, e blob.Entry) (io.ReadCloser, error) {
	if len(run.Pieces) == 0 {
		var err error
		run.Pieces, err = l.ledger.Voucher(ctx, run.ID)
		if errors.Is(err, ledger.ErrNotKept) {
			err = fmt.Errorf("%w: %s", blob.ErrMissing, run.ID)
		}
		if err != nil {
			return nil, err
		}
	}
	return blob.VerifyPieces(run.Pieces, e), nil
}

func ledgerTried(run ledger.Running) Tried {
	return Tried{Age: run.Age, Refusals: run.Refusals, Unanswered: run.Unanswered}
}

// release takes back an attempt that sent nothing, and may hold the account because its blob store is away.
func (l *account) release(ctx context.Context, run ledger.Running, storeAway bool) {
	err := l.persist(ctx, run, func(ctx context.Context) error { return l.ledger.Release(ctx, run, storeAway) })
	if err != nil {
		l.log.Warn("upload.not_released", zap.String("upload_id", run.ID), zap.Error(err))
	}
}

// finish records an outcome. If that cannot be done the full result stands in the log: it exists only here.
func (l *account) finish(ctx context.Context, run ledger.Running, o ledger.AttemptResult) (rec ledger.FinishResult, err error) {
	err = l.persist(ctx, run, func(ctx context.Context) (err error) {
		rec, err = l.record(ctx, run, o)
		return err
	})
	if err != nil {
		l.logLost(run, o, err)
		return rec, err
	}
	l.recent.add(run, o)
	l.logAttempt(run, o, rec)
	return rec, nil
}

// persist writes to the ledger what must not be lost. While Redis is away it tries again, until its patience or the
// worker's time to stop is over. What Redis answers with an error of its own would come again: it is no outage.
func (l *account) persist(ctx context.Context, run ledger.Running, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.set.FinishPatience)
	defer cancel()
	for tries := 1; ; tries++ {
		try, done := context.WithTimeout(ctx, l.set.RedisTimeout)
		err := write(try)
		done()
		if err == nil || errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrScript) {
			return err
		}
		if tries == 1 {
			l.log.Warn("ledger.unreachable", zap.String("upload_id", run.ID), zap.String("what", "kept, and tried again"),
				zap.Error(err))
		}
		if !l.pause(ctx) {
			return err
		}
	}
}

// pause waits a moment for Redis to come back; false when there is no more time.
func (l *account) pause(ctx context.Context) bool {
	t := time.NewTimer(l.set.RedisPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-l.givingUp:
		return false
	}
}

// follow does what an ended upload brings with it: the next in line gets its task, and its voucher leaves the store.
// What fails here the reconciler does.
func (l *account) follow(ctx context.Context, run ledger.Running, o ledger.AttemptResult, rec ledger.FinishResult) {
	l.putNext(ctx, rec)
	switch rec.State {
	case ledger.Delivered:
		if run.StoreKey != "" { // else the ledger dropped it
			l.sweeper.add(swept{id: run.ID, storeKey: run.StoreKey, state: rec.State, delivery: run.Delivery(o)})
		}
	case ledger.Rejected, ledger.Expired:
		if o.Outcome != ledger.OutcomeInvalid { // else there is nothing to note it beside
			l.sweeper.add(swept{storeKey: run.StoreKey, state: rec.State})
		}
	case ledger.Queued, ledger.Sending, ledger.Waiting, ledger.Discarded:
	}
}

// putNext puts the task of the upload that is next in its order's queue.
func (l *account) putNext(ctx context.Context, rec ledger.FinishResult) {
	if rec.NextID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.set.RedisTimeout)
	defer cancel()
	if err := l.tasks.Put(ctx, ledger.Task{ID: rec.NextID, Generation: rec.NextGen}, 0); err != nil {
		l.log.Warn("task.not_put", zap.String("upload_id", rec.NextID), zap.Error(err))
	}
}

// after writes what asynqmon shows of a finished task.
func (l *account) after(t *asynq.Task, p tasks.Payload, rec ledger.FinishResult) error {
	if l.set.TaskRetention <= 0 {
		return nil
	}
	result, err := json.Marshal(map[string]string{"id": p.ID, "state": string(rec.State)})
	if err == nil {
		_, err = t.ResultWriter().Write(result)
	}
	if err != nil {
		l.log.Debug("task.result", zap.Error(err))
	}
	return nil
}

// reason says in asynqmon why a task came back, without anything secret.
func reason(o ledger.AttemptResult) string {
	s := string(o.Outcome)
	if o.HTTPStatus != 0 {
		s += fmt.Sprintf(", http %d", o.HTTPStatus)
	}
	if o.Code != "" {
		s += ", code " + o.Code
	}
	return s
}
