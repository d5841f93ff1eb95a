package events

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
)

// round is the work of one turn. All but the calls themselves is done by one goroutine.
type round struct {
	*account

	queue     *queue
	read      ledger.Time // until then all was read
	looked    time.Time
	more      bool    // the last page was full
	announced Breaker // the opening that was queued last; without a reason: closed

	progress progress
	changed  bool
	saved    time.Time
	results  chan result
}

// result is what became of a call.
type result struct {
	line *line
	err  error
	took time.Duration
}

// loop reads and sends until the context ends or Redis fails.
func (r *round) loop(ctx context.Context) error {
	for {
		if err := r.look(ctx); err != nil {
			return err
		}
		now := time.Now()
		for _, l := range r.queue.take(now) {
			r.start(ctx, l)
		}
		if err := r.save(ctx, false); err != nil {
			return err
		}
		timer := time.NewTimer(time.Until(r.queue.next(now)))
		select {
		case got := <-r.results:
			r.settle(ctx, got)
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// resume takes in again what was refused, or waited behind such a one, when the last sender stopped.
func (r *round) resume(ctx context.Context) error {
	for _, f := range r.progress.refused {
		page, err := r.cfg.Ledger.Finished(ctx, r.hook.Account, ledger.Time{Time: f.Ended.Add(-time.Millisecond)}, 1)
		if err != nil {
			return err
		}
		for _, u := range page.Uploads { // all of that millisecond; what is no longer kept is told to nobody
			if u.ID == f.Upload && u.EndedAt.Equal(f.Ended.Time) {
				r.queue.again(ofUpload(u), f.First)
			}
		}
	}
	return nil
}

// drain waits for the calls under way, which end with the context.
func (r *round) drain(ctx context.Context) {
	for r.queue.running > 0 {
		r.settle(ctx, <-r.results)
	}
}

func (r *round) start(ctx context.Context, l *line) {
	e := l.items[0].event
	go func() {
		began := time.Now()
		err := r.to.send(ctx, e)
		r.results <- result{line: l, err: err, took: time.Since(began)}
	}()
}

// pageSize is how many events are read at once.
const pageSize = 200

// look reads on, when it is time and there is room.
func (r *round) look(ctx context.Context) error {
	now := time.Now()
	due := now.Sub(r.looked) >= r.set.Poll
	if !due && !r.more {
		return nil
	}
	if due {
		if err := r.lookAtBreaker(ctx); err != nil {
			return err
		}
		r.looked = now
	}
	if !r.queue.wants(now) {
		return nil
	}
	page, err := r.cfg.Ledger.Finished(ctx, r.hook.Account, r.read, pageSize)
	if err != nil {
		return err
	}
	for _, u := range page.Uploads {
		if e := ofUpload(u); e.Type != UploadDiscarded {
			r.queue.add(e)
		}
	}
	r.more, r.changed = len(page.Uploads) >= pageSize, r.changed || page.Until != r.read
	r.read = page.Until
	return nil
}

// lookAtBreaker compares the account's breaker with what was told of it. What opened and closed
// between two looks nobody is told of.
func (r *round) lookAtBreaker(ctx context.Context) error {
	if r.queue.lines["breaker"] != nil {
		return nil // what was seen last is told first
	}
	b, err := r.cfg.Ledger.Breaker(ctx, r.hook.Account)
	if err != nil {
		return err
	}
	is := Breaker{Account: r.hook.Account, Reason: b.Reason, Since: b.Since}
	was := r.announced
	if was.Reason != "" && (is.Reason == "" || !is.Since.Equal(was.Since.Time)) {
		now, err := r.cfg.Ledger.Now(ctx, r.hook.Account)
		if err != nil {
			return err
		}
		r.queue.add(ofBreaker(BreakerClosed, was, now))
		was = Breaker{}
	}
	if was.Reason == "" && is.Reason != "" {
		r.queue.add(ofBreaker(BreakerOpened, is, is.Since))
	}
	r.announced = is
	return nil
}

// settle takes in what became of a call.
func (r *round) settle(ctx context.Context, got result) {
	now := time.Now()
	it := got.line.items[0]
	e := it.event
	d := Delivery{
		At: ledger.Time{Time: now.UTC()}, EventID: e.ID, Type: e.Type, Try: it.tries + 1, TookMS: got.took.Milliseconds(),
	}
	if u := e.Data.Upload; u != nil {
		d.UploadID, d.OrderID = u.ID, u.OrderID
	}
	r.changed = true
	switch {
	case got.err == nil:
		r.arrived(got, now)
	case ctx.Err() != nil: // cut off, and nobody's fault
		got.line.busy = false
		r.queue.running--
		return
	default:
		d.Error = got.err.Error()
		r.failed(got, &d, now)
	}
	r.progress.sent = append(r.progress.sent, d)
}

func (r *round) arrived(got result, now time.Time) {
	e := got.line.items[0].event
	r.queue.arrived(got.line, now)
	r.cfg.Observer.WebhookSent(r.hook.Account, "delivered", got.took)
	if r.progress.cause != "" && r.queue.failures == 0 {
		r.log.Info("webhook.recovered")
		r.progress.cause, r.progress.failing = "", ledger.Time{}
	}
	if b := e.Data.Breaker; b != nil {
		r.progress.told = Breaker{Account: b.Account}
		if e.Type == BreakerOpened {
			r.progress.told = *b
		}
	}
}

func (r *round) failed(got result, d *Delivery, now time.Time) {
	if r.progress.cause == "" {
		r.progress.failing = d.At
		r.log.Warn("webhook.failed", zap.String("event_id", d.EventID), zap.String("event_type", string(d.Type)), zap.Error(got.err))
	}
	r.progress.cause = d.Error
	outcome := "failed"
	if d.GivenUp = r.queue.failed(got.line, now); d.GivenUp {
		outcome = "given_up"
		r.log.Error("webhook.given_up", zap.String("event_id", d.EventID), zap.String("event_type", string(d.Type)),
			zap.Int("tries", d.Try), zap.Error(got.err))
	}
	r.cfg.Observer.WebhookSent(r.hook.Account, outcome, got.took)
}

// saveEvery bounds what sending costs Redis. What was sent since is sent again should this process
// die.
const saveEvery = 500 * time.Millisecond

// save notes how far all has arrived.
func (r *round) save(ctx context.Context, now bool) error {
	if !r.changed || !now && time.Since(r.saved) < saveEvery {
		return nil
	}
	r.progress.cursor = r.read
	oldest, untried := r.queue.oldest()
	if !untried.IsZero() {
		r.progress.cursor = ledger.Time{Time: untried.Add(-time.Millisecond)} // others of its millisecond may lack, too
	}
	r.progress.refused = r.queue.refused(r.progress.cursor)
	var lag time.Duration
	if !oldest.IsZero() {
		lag = max(time.Millisecond, time.Since(oldest.Time))
	}
	r.cfg.Observer.WebhookLag(r.hook.Account, lag)
	if err := r.state.save(ctx, r.progress); err != nil {
		return err
	}
	r.changed, r.saved, r.progress.sent = false, time.Now(), nil
	return nil
}
