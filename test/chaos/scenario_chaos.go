package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
	"github.com/voucherd/voucherd/test/process"
)

// runChaos does everything at once, and then reconciles.
func (w *testbed) runChaos(ctx context.Context) error {
	p := plan.New(w.planOptions())
	if err := w.startWorkers(); err != nil {
		return err
	}
	producers := w.newProducers()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.failAPI(gctx, p, producers.began); return nil })
	g.Go(func() error { return w.failProcesses(gctx, p.Processes, producers.began) })
	g.Go(func() error { return w.failProcesses(gctx, p.Freezes, producers.began) })
	g.Go(func() error {
		producers.run(gctx, p.Orders)
		return w.watchOutage(gctx, p.Outage, producers.began)
	})
	if err := errors.Join(g.Wait(), context.Cause(ctx)); err != nil {
		return err
	}
	producers.report(w.report)
	return w.finish(ctx, producers.enqueued)
}

// finish waits until all is delivered, what was rejected after it was retried, and reconciles.
func (w *testbed) finish(ctx context.Context, enqueued []audit.Enqueued) error {
	err := w.drain(ctx, w.opts.Drain)
	retried := time.Now()
	_, rerr := w.retryRejected(ctx)
	return errors.Join(err, rerr, w.reconcile(ctx, enqueued, retried))
}

func (w *testbed) planOptions() plan.Options {
	o := plan.Options{Seed: w.opts.Seed, Vouchers: w.opts.N, Workers: w.opts.Workers}
	for _, a := range w.accounts {
		o.Accounts = append(o.Accounts, a.name)
	}
	return o
}

// watchOutage counts what the workers ask of Redis while the API is away and nothing else happens,
// and then the calls that they made.
func (w *testbed) watchOutage(ctx context.Context, o plan.Outage, began time.Time) error {
	from, to := began.Add(o.From), began.Add(o.To)
	process.Sleep(ctx, time.Until(began.Add(o.Quiet)))
	if time.Until(to) > time.Second {
		if _, err := w.commandsUntil(ctx, to); err != nil {
			return err
		}
	}
	if !process.Sleep(ctx, time.Until(to)) {
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
	w.report.atMost(float64(len(w.accounts)*(w.opts.Workers*8+set.OutageRow+probes)), "calls while the API is away", float64(calls))
	return nil
}

// commandsUntil reports what the workers ask of Redis until an instant, and gives the commands of
// each of them in a second.
func (w *testbed) commandsUntil(ctx context.Context, until time.Time) (float64, error) {
	began := time.Now()
	before, err := process.ReadStats(ctx, w.Redis)
	if err != nil || !process.Sleep(ctx, time.Until(until)) {
		return 0, errors.Join(err, context.Cause(ctx))
	}
	after, err := process.ReadStats(ctx, w.Redis)
	took := time.Since(began)
	asked := after.Minus(before).Commands() / took.Seconds() / float64(w.opts.Workers)
	w.report.row("outage", "%.1f Redis commands a second and worker, those within scripts included, for %.1f s", asked, took.Seconds())
	return asked, err
}

// drain waits until no upload is unfinished.
func (w *testbed) drain(ctx context.Context, limit time.Duration) error {
	began := time.Now()
	defer func() { w.report.row("time to drain", "%.1f s", time.Since(began).Seconds()) }()
	said := began
	return process.Until(ctx, limit, "every upload is finished", func() bool {
		left, by, err := w.unfinished(ctx)
		if err == nil && time.Since(said) > 5*time.Second {
			said = time.Now()
			w.say("%d uploads are unfinished: %s", left, counted(by))
		}
		return err == nil && left == 0
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
	if n = int(by[ledger.Rejected]); err != nil || n == 0 {
		return n, err
	}
	said, err := w.voucherd(ctx, "retry", "--state", string(ledger.Rejected))
	w.report.row("rejected, retried", "%d (%s)", n, strings.TrimSpace(said))
	if err != nil {
		return n, fmt.Errorf("retry what was rejected: %w", err)
	}
	return n, w.drain(ctx, w.opts.Drain)
}
