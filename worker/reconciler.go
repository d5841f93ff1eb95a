package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// reconciler makes the queue agree with the ledger, and clears away what is over. One worker at a
// time does it for a account, but a second one would do no harm: every repair is a compare-and-set
// in the ledger.
type reconciler struct {
	account  string
	name     string // of the worker
	heart    *heartbeat
	ledger   *ledger.Ledger
	store    blob.Store
	tasks    *tasks.Client
	log      *zap.Logger
	count    Observer
	every    time.Duration
	patience time.Duration // for one pass
	grace    time.Duration // how long tasks may seem to be missing before they are looked for
	orphans  time.Duration // age from which an unclaimed voucher is nobody's

	keepNotes time.Duration         // how long the blob store knows what was delivered
	explain   func(error) error     // says which Redis it was
	watch     func(context.Context) // looks whether Redis was replaced; by every worker

	lacking   time.Time // since when there are fewer tasks than uploads that need one
	swept     time.Time // when they were last looked for
	housework time.Time // when the rest was last done
	cursor    string    // of the slow sweep
}

func newReconciler(account string, heart *heartbeat, cfg Config, log *zap.Logger, watch func(context.Context)) *reconciler {
	set := cfg.Settings
	r := &reconciler{
		account: account, name: set.Name, ledger: cfg.Ledger, store: cfg.Store, tasks: cfg.Tasks, log: log, count: cfg.Observer,
		every: set.ReconcileEvery, patience: max(30*time.Second, 2*set.ReconcileEvery),
		grace: cfg.Ledger.Settings().Grace, orphans: set.OrphanAge, keepNotes: set.KeepNotes, watch: watch, heart: heart,
		explain: func(err error) error { return explainRedis(cfg.QueueRedis, err) },
	}
	heart.put = r.put
	return r
}

const (
	sweepEvery     = time.Minute // looking at every unfinished upload costs; no more often than this
	houseworkEvery = time.Minute
	smallBacklog   = 10_000 // up to this many, one missing task is reason enough to look for it
	pagesPerPass   = 200    // so that a pass ends
	sweepPage      = 500    // entries
	slowSweepPage  = 30     // entries that every pass looks at, whether or not something seems to be missing
)

// run works until the context ends.
func (r *reconciler) run(ctx context.Context) {
	r.know(ctx) // before the first beat, so before anything is taken up
	var beating sync.WaitGroup
	defer beating.Wait()
	beating.Go(func() { r.heart.run(ctx) })
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		r.pass(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// know notes which Redis it is, so that one that takes its place is told what this one was told.
func (r *reconciler) know(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	r.watch(ctx)
}

// pass does one round, if no other worker is doing it.
func (r *reconciler) pass(whole context.Context) {
	ctx, cancel := context.WithTimeout(whole, r.patience)
	defer cancel()
	r.watch(ctx)
	found, err := r.ledger.Pass(ctx, r.account, r.name, 3*r.every)
	if err == nil && found.Lead {
		err = errors.Join(r.repair(ctx, found), r.clear(ctx))
	}
	if err != nil && whole.Err() == nil {
		r.log.Warn("reconciler.failed", zap.Error(r.explain(err)))
	}
}

// repair puts a task where an unfinished upload has none. A backlog that merely waits costs
// nothing: while there are as many tasks as uploads that need one, only a few are looked at.
func (r *reconciler) repair(ctx context.Context, found ledger.PassResult) error {
	if err := r.put(ctx, found.Repairs, "due"); err != nil {
		return err
	}
	missing := found.Needed - found.Tasks
	if missing <= 0 {
		r.lacking = time.Time{}
	} else if r.lacking.IsZero() {
		r.lacking = time.Now()
	}
	if r.lacking.IsZero() || time.Since(r.lacking) < r.grace {
		return r.sweepOn(ctx, slowSweepPage)
	}
	if found.Needed > smallBacklog && missing*100 <= found.Needed {
		return r.sweepOn(ctx, sweepPage) // it may be just those that are being put
	}
	if time.Since(r.swept) < min(sweepEvery, 2*r.grace) {
		return nil
	}
	r.swept = time.Now()
	return r.sweep(ctx)
}

// sweepOn looks at the next page of everything: an upload that an index has lost is found in time,
// whatever the counts say.
func (r *reconciler) sweepOn(ctx context.Context, page int) error {
	found, err := r.ledger.Sweep(ctx, r.account, r.cursor, page)
	if err != nil {
		return err
	}
	r.cursor = found.Cursor
	return r.put(ctx, found.Repairs, "slow sweep")
}

// sweep looks at every unfinished upload: the queue was flushed, or emptied by hand.
func (r *reconciler) sweep(ctx context.Context) error {
	for cursor := ""; cursor != ledger.SweepRecords; {
		found, err := r.ledger.Sweep(ctx, r.account, cursor, sweepPage)
		if err != nil {
			return err
		}
		if err := r.put(ctx, found.Repairs, "sweep"); err != nil {
			return err
		}
		cursor = found.Cursor
	}
	return nil
}

func (r *reconciler) put(ctx context.Context, repairs []ledger.Repair, why string) error {
	for _, p := range repairs {
		if err := r.tasks.Put(ctx, p.Task, p.Wait); err != nil {
			return err
		}
	}
	if len(repairs) > 0 {
		r.count.Repaired(r.account, len(repairs))
		r.log.Warn("reconciler.repaired", zap.Int("tasks", len(repairs)), zap.String("found", why))
	}
	return nil
}

// clear deletes vouchers that are no longer kept or that nobody holds, and removes what retention
// lets go.
func (r *reconciler) clear(ctx context.Context) error {
	if time.Since(r.housework) < min(houseworkEvery, 10*r.every) {
		return nil
	}
	first := r.housework.IsZero()
	r.housework = time.Now()
	// What makes the account known may have gone with what Redis lost.
	if err := r.tasks.Bind(ctx, r.account); err != nil {
		return err
	}
	if !first { // else asynq, which has just started, is about to recover what it can
		if err := r.unstick(ctx); err != nil {
			return err
		}
	}
	for range pagesPerPass {
		ks, err := r.ledger.Leaving(ctx, r.account)
		if err != nil || len(ks) == 0 {
			return errors.Join(err, r.remove(ctx), r.adopt(ctx), r.store.ForgetRetired(ctx, r.account, r.keepNotes))
		}
		for _, k := range ks {
			if k.StoreKey == "" {
				continue
			}
			if err := r.takeOut(ctx, k); err != nil {
				return err
			}
		}
		if err := r.ledger.Left(ctx, r.account, ks); err != nil {
			return err
		}
	}
	return nil
}

// takeOut takes a voucher out of the blob store. That of a delivered upload leaves a note there, as
// it does when the sweeper takes it.
func (r *reconciler) takeOut(ctx context.Context, k ledger.Kept) error {
	u, err := r.ledger.Get(ctx, k.ID)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	if u.State == ledger.Delivered {
		for _, a := range u.Attempts {
			if a.Outcome == ledger.OutcomeDelivered {
				return r.store.Retire(ctx, blob.Retired{Key: k.StoreKey, Result: encodeDelivery(a)})
			}
		}
	}
	return r.store.Delete(ctx, k.StoreKey)
}

// unstick removes tasks that asynq itself will never end: somebody put them by hand.
func (r *reconciler) unstick(ctx context.Context) error {
	ids, err := r.ledger.RemoveStuck(ctx, r.account)
	if err == nil && len(ids) > 0 {
		r.log.Warn("reconciler.removed", zap.Int("tasks", len(ids)), zap.String("task_id", ids[0]))
	}
	return err
}

func (r *reconciler) remove(ctx context.Context) error {
	for range pagesPerPass {
		taken, err := r.ledger.Remove(ctx, r.account)
		if err != nil || taken == (ledger.Removed{}) {
			return err
		}
	}
	return nil
}

const orphansAtOnce = 500

// adopt deletes vouchers that no upload claimed, and claims those whose producer died before it
// could.
func (r *reconciler) adopt(ctx context.Context) error {
	found, err := r.store.Unclaimed(ctx, r.account, r.orphans, orphansAtOnce)
	if err != nil {
		return err
	}
	for _, v := range found {
		id := ledger.UploadID(r.account, v.UserID, v.OrderID, v.SHA256)
		u, err := r.ledger.Get(ctx, id)
		switch {
		case err == nil && u.StoreKey == v.Key:
			err = r.store.Claim(ctx, v.Key)
		case err == nil || errors.Is(err, ledger.ErrNotFound):
			err = r.store.Delete(ctx, v.Key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
