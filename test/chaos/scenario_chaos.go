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

// playChaos does everything at once, and then reconciles.
func (w *world) playChaos(ctx context.Context) error {
	accounts := []string{w.accounts[0].name, w.accounts[1].name}
	p := plan.New(plan.Options{Seed: w.opts.seed, Vouchers: w.opts.vouchers, Workers: w.opts.workers, Accounts: accounts})
	w.describe(p)
	if err := w.fleet.startAll(); err != nil {
		return err
	}
	producers := w.newProducers()
	if err := w.mayhem(ctx, p, producers); err != nil {
		return err
	}
	w.report.Producers = producers.tally
	w.producerChecks(producers.tally)
	err := w.drain(ctx, drainLimit, &w.report.Drain)
	retried := time.Now()
	err = errors.Join(err, w.retryRejected(ctx))
	after, cancel := lastLook(ctx)
	defer cancel()
	return errors.Join(err, w.reconcile(after, producers.handed, retried))
}

// lastLook gives time to tell what has not drained in time, one by one.
func lastLook(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
}

// describe notes the plan in the report.
func (w *world) describe(p plan.Plan) {
	for _, s := range p.Strikes {
		w.report.Plan = append(w.report.Plan, fmt.Sprintf("%v API: %s", s.At, describe(s.Fault)))
	}
	for _, b := range p.Blows {
		w.report.Plan = append(w.report.Plan, fmt.Sprintf("%v %s", b.At, b))
	}
	again, dooms, lines := 0, 0, 0
	for _, o := range p.Orders {
		if o.Doomed {
			dooms++
		}
		if len(o.Vouchers) > 1 {
			lines++
		}
		for _, v := range o.Vouchers {
			if v.Again > 0 {
				again++
			}
		}
	}
	w.report.Plan = append(w.report.Plan, fmt.Sprintf(
		"%d vouchers of %d orders, %d of them with several; %d enqueued again; %d orders refused for good; %v in all",
		w.opts.vouchers, len(p.Orders), lines, again, dooms, p.Length))
	w.say("plan of seed %d: %s", w.opts.seed, w.report.Plan[len(w.report.Plan)-1])
}

// mayhem lets vouchers come in while the API fails and processes die, until the plan is over.
func (w *world) mayhem(ctx context.Context, p plan.Plan, producers *producers) error {
	began := producers.began
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.strike(gctx, p, began); return nil })
	g.Go(func() error { return w.batter(gctx, p.Blows, began) })
	handedOver := make(chan struct{})
	g.Go(func() error {
		defer close(handedOver)
		producers.run(gctx, p.Orders)
		return nil
	})
	g.Go(func() error { return w.watchOutage(gctx, p.Outage, began, handedOver) })
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// watchOutage counts what the workers ask of Redis while the API is away and nothing else happens, and then the calls
// that they made.
func (w *world) watchOutage(ctx context.Context, o plan.Outage, began time.Time, handedOver <-chan struct{}) error {
	from, to := began.Add(o.From), began.Add(o.To)
	out := &outage{Lasted: length(o.To - o.From)}
	w.report.Outage = out
	sleep(ctx, time.Until(began.Add(o.Quiet)))
	select {
	case <-handedOver:
	case <-ctx.Done():
		return nil
	}
	if since := time.Now(); time.Until(to) > time.Second {
		m, err := listen(ctx, w.redis.addr)
		if err != nil {
			return err
		}
		defer m.close()
		sleep(ctx, time.Until(to))
		took := time.Since(since)
		out.Measured = length(took)
		seconds := took.Seconds() * float64(w.opts.workers)
		out.Commands, out.Scripted = float64(m.seen().asked)/seconds, float64(m.seen().scripted)/seconds
	} else if !sleep(ctx, time.Until(to)) {
		return nil
	}
	for _, r := range w.api.Requests() {
		if r.At.After(from) && r.At.Before(to) {
			out.Calls++
		}
	}
	set := w.settings.cfg.Ledger.Breaker
	// In each account: calls that had left, those that open the breaker, and probes in steps that double up to the longest.
	shortest := time.Duration(0.8 * float64(set.OutageMax))
	probes := int((o.To-o.From)/shortest) + 4
	out.Most = len(w.accounts) * (w.opts.workers*8 + set.OutageRow + probes)
	var over []string
	if out.Calls > out.Most {
		over = append(over, fmt.Sprintf("%d calls, where %d are the most", out.Calls, out.Most))
	}
	w.report.check("few calls are made while the API is away", out.Calls, over...)
	return nil
}

// producerChecks says whether Enqueue kept its word.
func (w *world) producerChecks(p producing) {
	w.report.check("Enqueue answers what it should, duplicates too", p.Accepted+p.Again, p.Wrong...)
	var slow []string
	if time.Duration(p.Slowest) > 5*time.Second {
		slow = append(slow, fmt.Sprintf("the slowest error came after %v", p.Slowest))
	}
	w.report.check("a producer that cannot reach Redis knows within 5 s", p.Failed, slow...)
	w.report.check("an error while Redis is away says which Redis", p.WhileAway, p.UnnamedSample...)
}

const drainLimit = 3 * time.Minute // asynq takes up to two to give up a worker that was killed

// drain waits until no upload is unfinished.
func (w *world) drain(ctx context.Context, limit time.Duration, took *length) error {
	began := time.Now()
	defer func() { *took += length(time.Since(began)) }()
	told := time.Now()
	return until(ctx, limit, "every upload is finished", func() bool {
		left, by, err := w.unfinished(ctx)
		if err != nil {
			return false
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			w.say("%d uploads are unfinished: %s", left, counted(by))
		}
		return left == 0
	})
}

// unfinished counts uploads that have not ended, and all by their states.
func (w *world) unfinished(ctx context.Context) (left int64, by map[ledger.State]int64, err error) {
	accounts, err := w.client.Accounts(ctx)
	by = map[ledger.State]int64{}
	for _, l := range accounts {
		left += l.Backlog
		for s, n := range l.Uploads {
			by[s] += n
		}
	}
	return left, by, err //nolint:wrapcheck // the client says enough
}

// retryRejected sends again, as a person would, what was refused for good, now that the API takes it.
func (w *world) retryRejected(ctx context.Context) error {
	w.api.SetFaults()
	_, by, err := w.unfinished(ctx)
	if err != nil {
		return err
	}
	w.report.Rejected = int(by[ledger.Rejected])
	if w.report.Rejected == 0 {
		return nil
	}
	_, said, err := w.voucherd(ctx, "retry", "--state", string(ledger.Rejected))
	if err != nil {
		return err
	}
	w.say("voucherd retry --state rejected: %s", strings.TrimSpace(said))
	var took length
	return w.drain(ctx, drainLimit, &took)
}

// stopWorkers lets every worker end as it should.
func (w *world) stopWorkers() {
	w.fleet.stopAll(func(time.Time, time.Time) bool { return false })
}

// accountsNames lists the accounts.
func (w *world) accountNames() []string {
	var names []string
	for _, a := range w.accounts {
		names = append(names, a.name)
	}
	slices.Sort(names)
	return names
}
