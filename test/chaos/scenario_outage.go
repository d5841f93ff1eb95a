package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

const (
	awayFor      = time.Minute
	mostCalls    = 5 + 3 + int(awayFor/(5*time.Second)) // those that open the breaker, workers, and a probe every 5 s
	mostCommands = 100.0                                // of one worker, a second
)

// runOutage lets many uploads wait while the API is away, with the settings that users have.
func (w *testbed) runOutage(ctx context.Context) error {
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	enqueued, err := w.enqueueAll(ctx)
	if err != nil {
		return err
	}
	w.say("%d uploads wait, the API is away, starting %d workers", len(enqueued), w.opts.workers)
	began := time.Now()
	if err := w.workers.startAll(); err != nil {
		return err
	}
	if err := w.countCommands(ctx, began.Add(awayFor)); err != nil {
		return err
	}
	back := time.Now()
	w.api.SetFaults()
	calls := len(w.api.Requests())
	w.checkCalls(calls, mostCalls, back.Sub(began))
	w.say("%d calls; the API is back", calls)
	if err := w.drain(ctx, drainLimit); err != nil {
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
	w.say("enqueueing %d vouchers", w.opts.vouchers)
	var orders []plan.Order
	for n := range w.opts.vouchers {
		orders = append(orders, plan.Order{
			ID: fmt.Sprintf("20225-%d", n), Account: w.accounts[0].name, Vouchers: []plan.Voucher{{Number: n, Size: 2 << 10}},
		})
	}
	p := w.newProducers()
	p.run(ctx, orders)
	w.reportProducers(p.tally)
	return p.enqueued, context.Cause(ctx)
}

// countCommands counts what the workers ask of Redis until an instant, second by second.
func (w *testbed) countCommands(ctx context.Context, till time.Time) error {
	began := time.Now()
	m, err := listen(ctx, w.redis.Addr)
	if err != nil {
		return err
	}
	defer m.close()
	last, most, mostAt := int64(0), 0.0, time.Duration(0)
	for time.Until(till) > 0 {
		at := time.Now()
		if !sleep(ctx, min(time.Second, time.Until(till))) {
			return context.Cause(ctx)
		}
		now, took := m.asked.Load(), time.Since(at)
		if rate := float64(now-last) / took.Seconds() / float64(w.opts.workers); rate > most && took > time.Second/2 {
			most, mostAt = rate, time.Since(began)
		}
		last = now
	}
	asked := w.commands(m, time.Since(began))
	w.report.row("", "the busiest second saw %.0f Redis commands of each worker, %.0f s after the start", most, mostAt.Seconds())
	w.report.check(fmt.Sprintf("under %.0f Redis commands a second and worker while the API is away", mostCommands),
		int(last), exceeds(asked, mostCommands)...)
	return nil
}

func exceeds(n, most float64) []string {
	if n <= most {
		return nil
	}
	return []string{fmt.Sprintf("%.1f, where %.0f are the most", n, most)}
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
	var ends []time.Time // of calls under way
	examined, answered, top := 0, 0, 1
	var many []string
	var steps strings.Builder
	for _, r := range w.api.Requests() {
		if r.At.Before(back) {
			continue
		}
		var still []time.Time
		for _, end := range ends {
			if end.After(r.At) {
				still = append(still, end)
			} else {
				answered++
			}
		}
		ends = append(still, r.AnsweredAt)
		under := len(ends)
		examined++
		if under > w.opts.workers+answered {
			many = append(many, fmt.Sprintf("request %d is the %dth at a time after %d successes", r.Number, under, answered))
		}
		if under >= top {
			fmt.Fprintf(&steps, " %d at %.1f s", under, r.At.Sub(back).Seconds())
			top = 2 * top
		}
	}
	w.report.check("after an outage the calls at a time grow step by step", examined, many...)
	w.report.row("", "calls at a time after the API was back:%s", steps.String())
}
