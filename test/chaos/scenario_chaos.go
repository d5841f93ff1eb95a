package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

// runChaos does everything at once, and then reconciles.
func (w *testbed) runChaos(ctx context.Context) error {
	p := plan.New(w.planOptions())
	w.describe(p)
	if err := w.workers.startAll(); err != nil {
		return err
	}
	producers := w.newProducers()
	if err := w.failEverything(ctx, p, producers); err != nil {
		return err
	}
	w.checkProducers(producers.tally)
	err := w.drain(ctx, drainLimit)
	retried := time.Now()
	_, rerr := w.retryRejected(ctx)
	after, cancel := lastLook(ctx)
	defer cancel()
	return errors.Join(err, rerr, w.reconcile(after, producers.enqueued, retried))
}

func (w *testbed) planOptions() plan.Options {
	return plan.Options{Seed: w.opts.seed, Vouchers: w.opts.vouchers, Workers: w.opts.workers, Accounts: w.accountNames()}
}

// lastLook gives time to tell what has not drained in time, one by one.
func lastLook(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
}

// describe tells the person who watches what is going to happen.
func (w *testbed) describe(p plan.Plan) {
	again, refused, several := 0, 0, 0
	for _, o := range p.Orders {
		if o.Refused {
			refused++
		}
		if len(o.Vouchers) > 1 {
			several++
		}
		for _, v := range o.Vouchers {
			if v.Again > 0 {
				again++
			}
		}
	}
	w.say("plan of seed %d: %d vouchers of %d orders, %d of them with several; %d enqueued again; %d orders refused for good; %v in all",
		w.opts.seed, w.opts.vouchers, len(p.Orders), several, again, refused, p.Length)
}

// failEverything lets vouchers come in while the API fails and processes die, until the plan is
// over.
func (w *testbed) failEverything(ctx context.Context, p plan.Plan, producers *producers) error {
	began := producers.began
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.failAPI(gctx, p, began); return nil })
	g.Go(func() error { return w.failProcesses(gctx, p.Processes, began) })
	g.Go(func() error {
		producers.run(gctx, p.Orders)
		return w.watchOutage(gctx, p.Outage, began)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// watchOutage counts what the workers ask of Redis while the API is away and nothing else happens,
// and then the calls that they made.
func (w *testbed) watchOutage(ctx context.Context, o plan.Outage, began time.Time) error {
	from, to := began.Add(o.From), began.Add(o.To)
	sleep(ctx, time.Until(began.Add(o.Quiet)))
	if since := time.Now(); time.Until(to) > time.Second {
		m, err := listen(ctx, w.redis.Addr)
		if err != nil {
			return err
		}
		defer m.close()
		sleep(ctx, time.Until(to))
		w.commands(m, time.Since(since))
	}
	if !sleep(ctx, time.Until(to)) {
		return nil
	}
	calls := 0
	for _, r := range w.api.Requests() {
		if r.At.After(from) && r.At.Before(to) {
			calls++
		}
	}
	set := w.settings.cfg.Ledger.Breaker
	// In each account: calls that had left, those that open the breaker, and probes in steps that
	// double up to the longest.
	shortest := time.Duration(0.8 * float64(set.OutageMax))
	probes := int((o.To-o.From)/shortest) + 4
	w.checkCalls(calls, len(w.accounts)*(w.opts.workers*8+set.OutageRow+probes), o.To-o.From)
	return nil
}

// commands reports what a monitor has counted, and gives the commands of each worker in a second.
func (w *testbed) commands(m *monitor, took time.Duration) float64 {
	seconds := took.Seconds() * float64(w.opts.workers)
	asked := float64(m.asked.Load()) / seconds
	w.report.row("outage", "%.1f Redis commands a second and worker, for %.1f s (and %.1f within scripts)",
		asked, took.Seconds(), float64(m.scripted.Load())/seconds)
	return asked
}

func (w *testbed) checkCalls(calls, most int, lasted time.Duration) {
	w.report.row("", "%.1f s: %d calls", lasted.Seconds(), calls)
	w.report.check(fmt.Sprintf("at most %d calls while the API is away", most), calls, exceeds(float64(calls), float64(most))...)
}

// reportProducers says how enqueueing went.
func (w *testbed) reportProducers(t tally) {
	w.report.row("accepted by Enqueue", "%d (in %d calls; %d failed, %d of them while Redis was away; slowest error after %v)",
		t.accepted, t.calls, t.failed, t.whileAway, short(t.slowest))
	w.report.row("enqueued again", "%d", t.again)
	for text, n := range t.errors {
		w.report.row("", "%d × %s", n, text)
	}
}

// checkProducers says how enqueueing went, and whether Enqueue kept its word.
func (w *testbed) checkProducers(t tally) {
	w.reportProducers(t)
	w.report.check("Enqueue answers what it should, duplicates too", t.accepted+t.again, t.wrong...)
	var slow []string
	if t.slowest > 5*time.Second {
		slow = append(slow, fmt.Sprintf("the slowest error came after %v", t.slowest))
	}
	w.report.check("a producer that cannot reach Redis knows within 5 s", t.failed, slow...)
	w.report.check("an error while Redis is away says which Redis", t.whileAway, t.unnamed...)
}

const drainLimit = 3 * time.Minute // asynq takes up to two to give up a worker that was killed

// drain waits until no upload is unfinished.
func (w *testbed) drain(ctx context.Context, limit time.Duration) error {
	began := time.Now()
	defer func() { w.report.row("time to drain", "%.1f s", time.Since(began).Seconds()) }()
	said := began
	return until(ctx, limit, "every upload is finished", func() bool {
		left, by, err := w.unfinished(ctx)
		if err != nil {
			return false
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			w.say("%d uploads are unfinished: %s", left, counted(by))
		}
		return left == 0
	})
}

// unfinished counts uploads that have not ended, and all by their states.
func (w *testbed) unfinished(ctx context.Context) (left int64, by map[ledger.State]int64, err error) {
	accounts, err := w.client.Accounts(ctx)
	by = map[ledger.State]int64{}
	for _, a := range accounts {
		left += a.Backlog
		for s, n := range a.Uploads {
			by[s] += n
		}
	}
	return left, by, err
}

// retryRejected sends again, as a person would, what was refused for good, now that the API takes
// it, and says how many uploads that were.
func (w *testbed) retryRejected(ctx context.Context) (n int, err error) {
	w.api.SetFaults()
	_, by, err := w.unfinished(ctx)
	if err != nil {
		return n, err
	}
	if n = int(by[ledger.Rejected]); n == 0 {
		return 0, nil
	}
	w.report.row("rejected, retried", "%d", n)
	_, said, err := w.voucherd(ctx, "retry", "--state", string(ledger.Rejected))
	if err != nil {
		return n, err
	}
	w.say("voucherd retry --state rejected: %s", strings.TrimSpace(said))
	return n, w.drain(ctx, drainLimit)
}

// accountNames lists the accounts.
func (w *testbed) accountNames() []string {
	var names []string
	for _, a := range w.accounts {
		names = append(names, a.name)
	}
	return slices.Sorted(slices.Values(names))
}
