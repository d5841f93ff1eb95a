package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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

// playOutage lets many uploads wait while the API is away, with the settings that users have.
func (w *world) playOutage(ctx context.Context) error {
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	producers, err := w.handOver(ctx)
	if err != nil {
		return err
	}
	w.say("%d uploads wait, the API is away, starting %d workers", len(producers.handed), w.opts.workers)
	began := time.Now()
	if err := w.fleet.startAll(); err != nil {
		return err
	}
	if err := w.countCommands(ctx, began.Add(awayFor)); err != nil {
		return err
	}
	healed := time.Now()
	w.api.SetFaults()
	calls := len(w.api.Requests())
	w.report.Outage.Calls, w.report.Outage.Most, w.report.Outage.Lasted = calls, mostCalls, length(healed.Sub(began))
	w.report.check(fmt.Sprintf("at most %d calls while the API is away", mostCalls), calls, exceeds(float64(calls), float64(mostCalls))...)
	w.say("%d calls; the API is well again", calls)
	w.report.Drain = 0
	if err := w.drain(ctx, drainLimit, &w.report.Drain); err != nil {
		return err
	}
	if err := w.countRefusals(ctx); err != nil {
		return err
	}
	w.growth(healed)
	return w.reconcile(ctx, producers.handed, time.Time{})
}

// handOver enqueues one small voucher for each of many orders, as fast as can be.
func (w *world) handOver(ctx context.Context) (*producers, error) {
	p := w.newProducers()
	w.say("enqueueing %d vouchers", w.opts.vouchers)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * producerCount)
	for n := range w.opts.vouchers {
		const size = 2 << 10
		v := plan.Voucher{Number: n, Size: size}
		o := plan.Order{ID: fmt.Sprintf("20225-%d", n), Account: w.accounts[0].name, Vouchers: []plan.Voucher{v}}
		g.Go(func() error { p.order(ctx, line{order: o}); return ctx.Err() })
	}
	err := g.Wait()
	w.report.Producers = p.tally
	if err == nil && len(p.handed) < w.opts.vouchers {
		err = context.Cause(ctx)
	}
	return p, err
}

// countCommands counts what the workers ask of Redis until an instant, second by second.
func (w *world) countCommands(ctx context.Context, till time.Time) error {
	began := time.Now()
	m, err := listen(ctx, w.redis.addr)
	if err != nil {
		return err
	}
	defer m.close()
	workers := float64(w.opts.workers)
	var last traffic
	most, mostAt := 0.0, time.Duration(0)
	for time.Until(till) > 0 {
		at := time.Now()
		if !sleep(ctx, min(time.Second, time.Until(till))) {
			return context.Cause(ctx)
		}
		now := m.seen()
		if rate := float64(now.asked-last.asked) / time.Since(at).Seconds() / workers; rate > most && time.Since(at) > time.Second/2 {
			most, mostAt = rate, time.Since(began)
		}
		last = now
	}
	seconds := time.Since(began).Seconds()
	out := &outage{
		Measured: length(time.Since(began)), Commands: float64(last.asked) / seconds / workers, Scripted: float64(last.scripted) / seconds / workers,
	}
	w.report.Outage = out
	w.report.Numbers = append(w.report.Numbers, fmt.Sprintf(
		"the busiest second saw %.0f Redis commands of each worker, %.0f s after the start", most, mostAt.Seconds()))
	w.report.check(fmt.Sprintf("under %.0f Redis commands a second and worker while the API is away", mostCommands),
		last.asked, exceeds(out.Commands, mostCommands)...)
	return nil
}

func exceeds(n, most float64) []string {
	if n <= most {
		return nil
	}
	return []string{fmt.Sprintf("%.1f, where %.0f are the most", n, most)}
}

// countRefusals looks for refusals that an outage was taken for.
func (w *world) countRefusals(ctx context.Context) error {
	var spent []string
	q := ledger.Query{Limit: 500}
	looked := 0
	for {
		page, err := w.client.List(ctx, q)
		if err != nil {
			return err //nolint:wrapcheck // the client says enough
		}
		for _, u := range page.Uploads {
			looked++
			if u.Refusals > 0 {
				spent = append(spent, fmt.Sprintf("%s: %d", u.ID, u.Refusals))
			}
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			break
		}
	}
	w.report.check("an outage spends no upload's budget", looked, spent...)
	return nil
}

// growth looks at how the workers came back: each begins with one call at a time, and n successes allow at most n more.
func (w *world) growth(healed time.Time) {
	check := audit.Check{Name: "after an outage the calls at a time grow step by step"}
	requests := w.api.Requests()
	var ends []time.Time // of those under way
	answered, top := 0, 1
	var ladder strings.Builder
	for _, r := range requests {
		if r.At.Before(healed) {
			continue
		}
		under := 1
		var still []time.Time
		for _, end := range ends {
			if end.After(r.At) {
				under++
				still = append(still, end)
			} else {
				answered++
			}
		}
		ends = append(still, r.AnsweredAt)
		check.ScanResult++
		if allowed := w.opts.workers + answered; under > allowed {
			check.Broken++
			check.Where = append(check.Where[:min(len(check.Where), 10)], fmt.Sprintf(
				"request %d is the %dth at a time after %d successes", r.Number, under, answered))
		}
		if under >= top {
			fmt.Fprintf(&ladder, " %d at %.1f s", under, r.At.Sub(healed).Seconds())
			top = 2 * top
		}
	}
	w.report.Checks = append(w.report.Checks, check)
	w.report.Numbers = append(w.report.Numbers, "calls at a time after the API was back:"+ladder.String())
}
