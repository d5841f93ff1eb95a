package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

// runRebuild empties Redis while vouchers come in and go out, and rebuilds it from the blob store
// on disk. Then it does so once more while nothing moves, to see that rebuilding twice changes
// nothing.
func (w *testbed) runRebuild(ctx context.Context) error {
	p := plan.New(w.planOptions())
	for _, o := range p.Orders {
		o.Once()
	}
	w.api.SetFaults(refusals(p.Orders)...)
	if err := w.workers.startAll(); err != nil {
		return err
	}
	producers := w.newProducers()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { producers.run(gctx, p.Orders); return nil })
	g.Go(func() error { return w.loseMidRun(gctx, p) })
	if err := g.Wait(); err != nil {
		return err
	}
	w.reportProducers(producers.tally)
	if err := w.rebuildTwice(ctx); err != nil {
		return err
	}
	w.api.SetFaults(refusals(p.Orders)...)
	err := w.drain(ctx, drainLimit)
	retried := time.Now()
	_, rerr := w.retryRejected(ctx)
	after, cancel := lastLook(ctx)
	defer cancel()
	w.storeEmpties(after, producers.enqueued)
	return errors.Join(err, rerr, w.reconcileLosses(after, producers.enqueued, retried))
}

// loseMidRun loses Redis while the API fails half of the time and producers go on, and leaves the
// API away at the end, so that there is a backlog.
func (w *testbed) loseMidRun(ctx context.Context, p plan.Plan) error {
	length, always := p.Outage.Quiet, refusals(p.Orders)
	sleep(ctx, length/3)
	w.say("API: away half of the time")
	w.api.SetFaults(append([]sandbox.Fault{{Kind: sandbox.Outage, Probability: 0.5}}, always...)...)
	if !sleep(ctx, length/6) {
		return nil
	}
	if err := w.lose(ctx); err != nil {
		return err
	}
	for range 2 {
		if _, err := w.rebuild(ctx); err != nil {
			return err
		}
	}
	w.api.SetFaults(always...)
	sleep(ctx, length/6)
	w.say("API: away")
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	return nil
}

func (w *testbed) lose(ctx context.Context) error {
	w.say("FLUSHALL")
	w.losses = append(w.losses, audit.Loss{Gone: time.Now()})
	if err := w.rdb.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty redis: %w", err)
	}
	return nil
}

func (w *testbed) rebuild(ctx context.Context) (string, error) {
	out, _, err := w.voucherd(ctx, "rebuild")
	if last := &w.losses[len(w.losses)-1]; last.Back.IsZero() {
		last.Back = time.Now()
	}
	out = strings.TrimSpace(out)
	w.say("voucherd rebuild: %s", strings.ReplaceAll(out, "\n", " "))
	w.report.row("voucherd rebuild", "%s", strings.ReplaceAll(out, "\n", " "))
	return out, err
}

// rebuildTwice loses Redis while the API is away, and looks at what a second rebuild changes.
func (w *testbed) rebuildTwice(ctx context.Context) error {
	if err := w.lose(ctx); err != nil {
		return err
	}
	_, err := w.rebuild(ctx)
	first, err1 := w.snapshot(ctx)
	said, err2 := w.rebuild(ctx)
	second, err3 := w.snapshot(ctx)
	if err = errors.Join(err, err1, err2, err3); err != nil {
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
	if !regexp.MustCompile(`(?m)^0 uploads restored, \d+ were known, 0 leftovers deleted`).MatchString(said) {
		changed = append(changed, "it said: "+said)
	}
	w.report.check("a second rebuild changes nothing", len(first), changed...)
	return nil
}

// snapshot is what the ledger holds of each upload, without what the workers' probes change.
func (w *testbed) snapshot(ctx context.Context) (map[string]string, error) {
	uploads, err := w.list(ctx)
	all := map[string]string{}
	for _, u := range uploads {
		state := "unfinished"
		if u.State.Final() {
			state = string(u.State)
		}
		all[u.ID] = fmt.Sprintf("%s, generation %d, created %s", state, u.Generation, u.CreatedAt)
	}
	return all, err
}
