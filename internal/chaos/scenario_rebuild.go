package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/chaos/audit"
	"github.com/voucherd/voucherd/internal/chaos/plan"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// rebuilding is a run that loses all of Redis, twice.
type rebuilding struct {
	*world

	orders    []plan.Order
	producers *producers
	lost      []audit.Span // from when Redis was emptied until it was rebuilt
}

// playRebuild empties Redis while vouchers come in and go out, and rebuilds it from the vault on disk. Then it does so
// once more while nothing moves, to see that rebuilding twice changes nothing.
func (w *world) playRebuild(ctx context.Context) error {
	p := plan.New(plan.Options{
		Seed: w.opts.seed, Vouchers: w.opts.vouchers, Workers: w.opts.workers, Lanes: []string{w.lanes[0].lane, w.lanes[1].lane},
	})
	r := rebuilding{world: w, orders: p.Orders}
	for _, o := range r.orders {
		for i := range o.Vouchers {
			o.Vouchers[i].Again = 0 // the ledger does not know what it delivered before it was lost
		}
	}
	r.api.SetFaults(doomed(r.orders)...)
	if err := r.fleet.startAll(); err != nil {
		return err
	}
	r.producers = r.newProducers()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { r.producers.run(gctx, r.orders); return nil })
	g.Go(func() error { return r.midRun(gctx, p.Outage.Quiet) })
	if err := g.Wait(); err != nil {
		return err
	}
	w.report.Producers = r.producers.tally
	if err := r.standingStill(ctx); err != nil {
		return err
	}
	r.api.SetFaults(doomed(r.orders)...)
	err := r.drain(ctx, &w.report.Drain)
	retried := time.Now()
	err = errors.Join(err, r.retryRejected(ctx))
	after, cancel := lastLook(ctx)
	defer cancel()
	err = errors.Join(err, r.vaultEmpties(after, r.producers.handed))
	r.stopWorkers()
	return errors.Join(err, r.compare(after, retried))
}

// midRun loses Redis while the API fails half of the time and producers go on, and leaves the API away at the end, so
// that there is a backlog.
func (r *rebuilding) midRun(ctx context.Context, length time.Duration) error {
	always := doomed(r.orders)
	half := append([]sandbox.Fault{{Kind: sandbox.Outage, Probability: 0.5}}, always...)
	sleep(ctx, length/3)
	r.say("API: away half of the time")
	r.api.SetFaults(half...)
	if !sleep(ctx, length/6) {
		return nil
	}
	if err := r.lose(ctx); err != nil {
		return err
	}
	for range 2 {
		if _, err := r.rebuild(ctx); err != nil {
			return err
		}
	}
	r.api.SetFaults(always...)
	sleep(ctx, length/6)
	r.say("API: away")
	r.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	return nil
}

func (r *rebuilding) lose(ctx context.Context) error {
	r.say("FLUSHALL")
	r.lost = append(r.lost, audit.Span{From: time.Now(), To: time.Now().Add(time.Hour)})
	if err := r.rdb.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty redis: %w", err)
	}
	return nil
}

func (r *rebuilding) rebuild(ctx context.Context) (string, error) {
	out, _, err := r.voucherd(ctx, "rebuild")
	if last := &r.lost[len(r.lost)-1]; time.Now().Before(last.To) {
		last.To = time.Now()
	}
	out = strings.TrimSpace(out)
	r.say("voucherd rebuild: %s", out)
	r.report.Numbers = append(r.report.Numbers, "voucherd rebuild: "+out)
	return out, err
}

// standingStill loses Redis while the API is away, and looks at what a second rebuild changes.
func (r *rebuilding) standingStill(ctx context.Context) error {
	if err := r.lose(ctx); err != nil {
		return err
	}
	if _, err := r.rebuild(ctx); err != nil {
		return err
	}
	first, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	said, err := r.rebuild(ctx)
	if err != nil {
		return err
	}
	second, err := r.snapshot(ctx)
	if err != nil {
		return err
	}
	var changed []string
	if !maps.Equal(first, second) {
		for id, was := range first {
			if second[id] != was {
				changed = append(changed, fmt.Sprintf("%s: %s, then %s", id, was, second[id]))
			}
		}
		changed = append(changed, fmt.Sprintf("%d uploads, then %d", len(first), len(second)))
	}
	if !regexp.MustCompile(`^0 uploads restored, \d+ were known, 0 leftovers deleted`).MatchString(said) {
		changed = append(changed, "it said: "+said)
	}
	r.report.check("a second rebuild changes nothing", len(first), changed...)
	return nil
}

// snapshot is what the ledger and the queue hold, without what the workers' probes change.
func (r *rebuilding) snapshot(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	q := ledger.Query{Limit: 500, OldestFirst: true}
	for {
		page, err := r.client.List(ctx, q)
		if err != nil {
			return nil, err //nolint:wrapcheck // the client says enough
		}
		for _, u := range page.Uploads {
			state := "unfinished"
			if u.State.Final() {
				state = string(u.State)
			}
			all[u.ID] = fmt.Sprintf("%s, generation %d, created %s", state, u.Generation, u.CreatedAt)
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return all, nil
		}
	}
}

// compare holds what producers were told, the ledger and the API's log against each other. What was delivered before
// Redis was lost the ledger does not know.
func (r *rebuilding) compare(ctx context.Context, retried time.Time) error {
	facts, err := r.facts(ctx, r.producers.handed)
	if err != nil {
		return err
	}
	taken := map[string][]sandbox.Request{}
	for _, q := range facts.Requests {
		if q.Accepted {
			taken[q.OrderID+" "+q.SHA256] = append(taken[q.OrderID+" "+q.SHA256], q)
			r.report.Accepted++
		}
	}
	r.report.Requests = len(facts.Requests)
	arrived := audit.Check{Name: "every voucher that Enqueue accepted is delivered", Looked: len(facts.Handed)}
	for _, h := range facts.Handed {
		u, known := facts.Uploads[h.UploadID]
		if len(taken[h.OrderID+" "+h.SHA256]) == 0 || known && u.State != ledger.Delivered {
			arrived.Broken++
			arrived.Where = append(arrived.Where[:min(len(arrived.Where), 19)], fmt.Sprintf("%s (order %s): %q", h.UploadID, h.OrderID, u.State))
		}
	}
	r.report.Checks = append([]audit.Check{arrived, r.twice(facts, taken), r.inOrder(facts, taken, retried)}, r.report.Checks...)
	if _, r.report.States, err = r.unfinished(ctx); err != nil {
		return err
	}
	return r.secrets(ctx)
}

// twice looks for vouchers that were sent again although they had arrived well before Redis was lost.
func (r *rebuilding) twice(facts audit.Facts, taken map[string][]sandbox.Request) audit.Check {
	c := audit.Check{Name: "only what was sent just before the loss is sent twice", Looked: len(taken)}
	const just = 5 * time.Second // a call, and the voucher's leaving the vault
	for _, h := range facts.Handed {
		rs := taken[h.OrderID+" "+h.SHA256]
		for i := range max(0, len(rs)-1) {
			fresh := false
			for _, lost := range r.lost {
				before := rs[i].At.Before(lost.From) && rs[i].AnsweredAt.After(lost.From.Add(-just))
				fresh = fresh || before && rs[i+1].At.After(lost.From)
			}
			r.report.Resent = append(r.report.Resent, audit.Resent{UploadID: h.UploadID, OrderID: h.OrderID, Attempts: []string{
				fmt.Sprintf("taken at %s and at %s", rs[i].At.Format(time.TimeOnly), rs[i+1].At.Format(time.TimeOnly)),
			}})
			if !fresh {
				c.Broken++
				c.Where = append(c.Where[:min(len(c.Where), 19)], fmt.Sprintf("%s (order %s): requests %d and %d", h.UploadID, h.OrderID, rs[i].Number, rs[i+1].Number))
			}
		}
	}
	return c
}

// inOrder looks for vouchers that arrived before an earlier one of their order. What was handed over after the loss and
// before the rebuilding could not know of those before it.
func (r *rebuilding) inOrder(facts audit.Facts, taken map[string][]sandbox.Request, retried time.Time) audit.Check {
	c := audit.Check{Name: "vouchers of one order arrive in the order in which they were handed over"}
	type arrival struct {
		audit.Handed

		number int
	}
	first := map[seat]arrival{}
	for _, h := range facts.Handed {
		if rs := taken[h.OrderID+" "+h.SHA256]; len(rs) > 0 && rs[0].At.Before(retried) {
			first[seat{h.OrderID, h.Place}] = arrival{h, rs[0].Number}
		}
	}
	for s, later := range first {
		before, ok := first[seat{s.order, s.place - 1}]
		unknown := func(lost audit.Span) bool {
			return before.At.Before(lost.From) && later.At.After(lost.From) && later.At.Before(lost.To)
		}
		if !ok || slices.ContainsFunc(r.lost, unknown) {
			continue
		}
		c.Looked++
		if before.number > later.number {
			c.Broken++
			c.Where = append(c.Where[:min(len(c.Where), 19)], fmt.Sprintf(
				"order %s: voucher %d came before voucher %d (handed over at %s and %s)", s.order, s.place+1, s.place,
				later.At.Format(time.StampMilli), before.At.Format(time.StampMilli)))
		}
	}
	return c
}
