package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/stack"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

// delivery takes one account's tasks from asynq, each through the circuit breaker to one attempt.
type delivery struct {
	account  string
	heart    *heartbeat
	set      Settings
	policy   Policy
	slots    *slots
	rate     ledger.Rate
	turn     int64         // the account's, that this worker got; of the one task that asks
	stopping chan struct{} // closed: no new attempts, waiters go back
	ledger   *ledger.Ledger
	vouchers vouchers
	caller   *caller
	recorder *recorder
	log      *zap.Logger
	count    Observer
	tracer   trace.Tracer
	running  sync.WaitGroup // tasks that are being processed
}

// ProcessTask delivers the upload of one task, or hands the task back with the time at which it is
// due again.
func (d *delivery) ProcessTask(ctx context.Context, t *asynq.Task) error {
	d.running.Add(1)
	defer d.running.Done()
	stack.Grow() // asynq makes a goroutine for each task
	p, err := d.read(t)
	if errors.Is(err, tasks.ErrNewerPayload) {
		return &retryLater{Delay: strangeDelay, Reason: err.Error()}
	}
	if err != nil {
		// Neither tried again nor archived: nobody could make anything of it later.
		d.log.Warn("task.unreadable", zap.String("task_id", t.ResultWriter().TaskID()), zap.Error(err))
		return fmt.Errorf("%w: %w", err, asynq.RevokeTask)
	}
	rec, err := d.deliver(traced(ctx, t), p)
	if err != nil {
		return err
	}
	return d.after(t, p, rec)
}

// errForeign means that a task is not one of the account's uploads. It must not be sent with the
// account's key.
var errForeign = errors.New("not a task of this account's uploads")

// read gives what a task carries.
func (d *delivery) read(t *asynq.Task) (tasks.Payload, error) {
	if t.Type() != tasks.TypeUpload {
		return tasks.Payload{}, errForeign
	}
	p, err := tasks.ParsePayload(t.Payload())
	if err != nil {
		return p, err
	}
	if account, _, err := ledger.ParseID(p.ID); err != nil || account != d.account {
		return p, errForeign
	}
	return p, nil
}

// strangeDelay is for what this worker cannot read: a newer one, or a person, may get to it
// meanwhile.
const strangeDelay = time.Minute

// deliver takes a task through the breaker and makes one attempt.
func (d *delivery) deliver(ctx context.Context, p tasks.Payload) (ledger.FinishResult, error) {
	for {
		if err := d.slots.enter(ctx, d.stopping, d.set.HoldLimit); err != nil {
			return ledger.FinishResult{}, &retryLater{Reason: err.Error()}
		}
		rec, again, err := d.attempt(ctx, p)
		if !again {
			return rec, err
		}
	}
}

// attempt asks the ledger whether the upload may be sent, and if so sends it. It gives back the
// slot. Again means that the breaker is open and the task waits on.
func (d *delivery) attempt(ctx context.Context, p tasks.Payload) (rec ledger.FinishResult, again bool, err error) {
	success := false
	defer func() { d.slots.leave(success) }()

	// The call and Finish must not be cut off by what happens to the task: they have deadlines of
	// their own.
	detached := context.WithoutCancel(ctx)
	b, began, err := d.beginInTurn(ctx, p)
	if errors.Is(err, errWaited) {
		return rec, false, &retryLater{Reason: err.Error()}
	}
	if err != nil {
		return rec, false, d.notBegun(p, err)
	}
	switch b.Answer {
	case ledger.BreakerOpen, ledger.TurnLater:
		return rec, true, nil
	case ledger.Busy, ledger.Early:
		return rec, false, &retryLater{Delay: b.Wait.For, Reason: "not yet: " + string(b.Answer)}
	case ledger.Stale:
		return rec, false, fmt.Errorf("no longer counts (%s): %w", b.Wait.Reason, asynq.RevokeTask)
	case ledger.Started:
	}
	outcome, err := d.sendTraced(detached, b.Running, began)
	if known, ok := errors.AsType[*deliveredError](err); ok {
		rec, err = d.recorder.recordDelivered(detached, b.Running, known.attempt)
		return rec, false, err
	}
	if err != nil {
		event, reason := "store.unreachable", ledger.ReasonStore
		if errors.Is(err, blob.ErrLocked) {
			event, reason = "voucher.locked", ledger.ReasonIdentity
		}
		d.log.Warn(event, zap.String("upload_id", p.ID), zap.Error(err))
		d.recorder.release(detached, b.Running, reason)
		return rec, false, &retryLater{Delay: d.unreadDelay(b.Running.Age), Reason: "its voucher cannot be read"}
	}
	d.count.Attempted(d.account, outcome.Outcome, outcome.Duration)
	rec, err = d.recorder.finish(detached, b.Running, outcome)
	if err != nil {
		return rec, false, &retryLater{Delay: d.set.RedisPause, Reason: "the outcome could not be recorded"}
	}
	if rec.BreakerReason != "" {
		d.slots.hold(rec.BreakerWait)
	}
	success = outcome.Outcome == ledger.OutcomeDelivered || outcome.Fault == ledger.FaultFinal
	d.recorder.follow(detached, b.Running, outcome, rec)
	if !rec.State.Final() {
		return rec, false, &retryLater{Delay: rec.Wait, Failed: !rec.Account, Reason: reason(outcome)}
	}
	return rec, false, nil
}

// unreadDelay is how long an upload steps aside whose voucher cannot be read, so that others find out
// whether theirs can: as long as it has waited already, between a breaker's first hold and a minute.
func (d *delivery) unreadDelay(age time.Duration) time.Duration {
	return min(max(age, d.ledger.Settings().Breaker.ProbeBase), strangeDelay)
}

// notBegun hands the task back: Redis is away, or cannot run the ledger's script on this record,
// which is then not the other uploads' trouble.
func (d *delivery) notBegun(p tasks.Payload, err error) error {
	if errors.Is(err, ledger.ErrScript) || errors.Is(err, ledger.ErrNewerRecord) {
		d.log.Error("upload.not_begun", zap.String("upload_id", p.ID), zap.Error(err))
		return &retryLater{Delay: strangeDelay, Reason: "its record cannot be read"}
	}
	return &retryLater{Delay: d.set.RedisPause, Reason: "the ledger cannot be reached"}
}

// beginInTurn begins an attempt, in its turn where the account has a rate. The call's deadline is
// counted from began, before the ledger noted the attempt, so that it is over before the lease ends.
func (d *delivery) beginInTurn(ctx context.Context, p tasks.Payload) (b ledger.BeginResult, began time.Time, err error) {
	defer d.slots.asked()
	nonce := pandapon.NewNonce()
	for began = time.Now(); ; began = time.Now() {
		if err = d.heart.owns(began); err == nil { // else it would be begun, and then not sent
			b, err = d.beginHeard(ctx, p, nonce, began)
		}
		if err != nil {
			return b, began, err
		}
		switch b.Answer {
		case ledger.TurnLater:
			d.turn = b.Turn
			if !d.wait(ctx, b.Wait.For) {
				return b, began, errWaited
			}
			continue
		case ledger.BreakerOpen:
			d.slots.hold(b.Wait.For) // before the next one asks
		case ledger.Started:
			if d.slots.paced {
				d.turn = 0
			}
		case ledger.Busy, ledger.Early, ledger.Stale:
		}
		return b, began, nil
	}
}

// beginHeard begins an attempt. While Redis does not answer, the attempt may have begun, and nobody
// else may send it before its lease ends: so it asks again, as long as half of the call's time is left.
func (d *delivery) beginHeard(ctx context.Context, p tasks.Payload, nonce string, began time.Time) (ledger.BeginResult, error) {
	for said := false; ; said = true {
		b, err := d.begin(context.WithoutCancel(ctx), p, nonce)
		if err == nil || errors.Is(err, ledger.ErrScript) || errors.Is(err, ledger.ErrNewerRecord) {
			return b, err
		}
		if !said {
			d.log.Warn("ledger.unreachable", zap.String("upload_id", p.ID), zap.Error(err))
		}
		if time.Since(began) > d.set.CallTimeout/2 || !d.wait(ctx, d.set.RedisPause) {
			return b, err
		}
	}
}

// wait waits for a task's turn, for HoldLimit at most, and says whether it came.
func (d *delivery) wait(ctx context.Context, long time.Duration) bool {
	t := time.NewTimer(min(long, d.set.HoldLimit))
	defer t.Stop()
	select {
	case <-t.C:
		return long <= d.set.HoldLimit
	case <-ctx.Done():
	case <-d.stopping:
	}
	return false
}

func (d *delivery) begin(ctx context.Context, p tasks.Payload, nonce string) (ledger.BeginResult, error) {
	ctx, cancel := context.WithTimeout(ctx, d.set.RedisTimeout)
	defer cancel()
	return d.ledger.Begin(ctx, ledger.NewAttempt{
		ID: p.ID, Generation: p.Generation, Nonce: nonce, Worker: d.set.Name, Instance: d.heart.me.Instance,
		Lease: d.set.CallTimeout + d.set.LeaseMargin, Rate: d.rate, Turn: d.turn,
	})
}

// sendTraced is send within a span of its own.
func (d *delivery) sendTraced(ctx context.Context, run ledger.Running, began time.Time) (o ledger.AttemptResult, err error) {
	span := d.span(ctx, run)
	defer func() { endSpan(span, o) }()
	o, err = d.send(ctx, run, began)
	o.TraceID = traceID(span)
	return o, err
}

// send makes the call. The error is the blob store's, when it gives no voucher and nothing was sent, or a
// *deliveredError.
func (d *delivery) send(ctx context.Context, run ledger.Running, began time.Time) (ledger.AttemptResult, error) {
	ctx, cancel := context.WithDeadline(ctx, began.Add(d.set.CallTimeout))
	defer cancel()
	tried := ledgerTried(run)
	started := time.Now()
	voucher, err := d.vouchers.open(ctx, run)
	if err != nil && !errors.Is(err, blob.ErrMissing) && !errors.Is(err, blob.ErrDamaged) {
		return ledger.AttemptResult{}, err
	}
	var receipt pandapon.Receipt
	if err == nil {
		receipt, err = d.caller.upload(ctx, run, owned{voucher, d.heart, began})
		if cerr := voucher.Close(); cerr != nil {
			d.log.Debug("store.close", zap.String("upload_id", run.ID), zap.Error(cerr))
		}
	}
	o := d.policy.Decide(receipt, err, tried)
	o.Duration = time.Since(started)
	d.caller.observe(ctx, sampleOf(receipt, err))
	return o, nil
}

func ledgerTried(run ledger.Running) Tried {
	return Tried{Age: run.Age, Refusals: run.Refusals, Unanswered: run.Unanswered}
}

// after writes what asynqmon shows of a finished task.
func (d *delivery) after(t *asynq.Task, p tasks.Payload, rec ledger.FinishResult) error {
	if d.set.TaskRetention <= 0 {
		return nil
	}
	result, err := json.Marshal(map[string]string{"id": p.ID, "state": string(rec.State)})
	if err == nil {
		_, err = t.ResultWriter().Write(result)
	}
	if err != nil {
		d.log.Debug("task.result", zap.Error(err))
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
