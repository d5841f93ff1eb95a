package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

const (
	awayFor      = time.Minute
	mostCalls    = 5 + 3 + int(awayFor/(5*time.Second)) // those that open the breaker, workers, and a probe every 5 s
	mostCommands = 300                                  // of one worker, a second, those within scripts included
)

// runOutage lets many uploads wait while the API is away, with the settings that users have.
func (w *testbed) runOutage(ctx context.Context) error {
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	enqueued, err := w.enqueueAll(ctx)
	if err != nil {
		return err
	}
	w.say("%d uploads wait, the API is away, starting %d workers", len(enqueued), w.opts.Workers)
	until := time.Now().Add(awayFor)
	if err = w.startWorkers(); err != nil {
		return err
	}
	commands, err := w.commandsUntil(ctx, until)
	if err != nil {
		return err
	}
	w.report.atMost(mostCommands, "Redis commands a second and worker while the API is away", commands)
	back := time.Now()
	w.api.SetFaults()
	w.report.atMost(float64(mostCalls), "calls while the API is away", float64(len(w.api.Requests())))
	w.say("the API is back")
	if err := w.drain(ctx, w.opts.Drain); err != nil {
		return err
	}
	if err := w.countRefusals(ctx); err != nil {
		return err
	}
	w.growth(back)
	return w.reconcile(ctx, enqueued, time.Time{})
}

// enqueueAll enqueues one small voucher for each of many orders, as fast as can be.
func (w *testbed) enqueueAll(ctx context.Context) ([]audit.Enqueued, error) {
	var orders []plan.Order
	for n := range w.opts.N {
		orders = append(orders, plan.Order{
			ID: fmt.Sprintf("20225-%d", n), Account: w.accounts[0].name, Vouchers: []plan.Voucher{{Number: n, Size: 2 << 10}},
		})
	}
	p := w.newProducers()
	p.run(ctx, orders)
	p.report(w.report)
	return p.enqueued, context.Cause(ctx)
}

// countRefusals looks for refusals that an outage was taken for.
func (w *testbed) countRefusals(ctx context.Context) error {
	var spent []string
	uploads, err := w.list(ctx)
	for _, u := range uploads {
		if u.Refusals > 0 {
			spent = append(spent, fmt.Sprintf("%s: %d", u.ID, u.Refusals))
		}
	}
	w.report.check("an outage spends no upload's budget", len(uploads), spent...)
	return err
}

// list gives every upload in the ledger.
func (w *testbed) list(ctx context.Context) (all []ledger.Upload, err error) {
	for q := (ledger.Query{Limit: 500, OldestFirst: true}); ; {
		page, err := w.client.List(ctx, q)
		if err != nil {
			return all, err
		}
		all = append(all, page.Uploads...)
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return all, nil
		}
	}
}

// growth looks at how the workers came back: each begins with one call at a time, and n successes
// allow at most n more.
func (w *testbed) growth(back time.Time) {
	var under []time.Time // ends of calls under way
	examined, answered := 0, 0
	var many []string
	for _, r := range w.api.Requests() {
		if r.At.Before(back) {
			continue
		}
		examined++
		before := len(under)
		under = slices.DeleteFunc(under, func(end time.Time) bool { return !end.After(r.At) })
		answered += before - len(under)
		under = append(under, r.AnsweredAt)
		if len(under) > w.opts.Workers+answered {
			many = append(many, fmt.Sprintf("request %d is the %dth at a time after %d successes", r.Number, len(under), answered))
		}
	}
	w.report.check("after an outage the calls at a time grow step by step", examined, many...)
}
