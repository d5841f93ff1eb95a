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
	"github.com/voucherd/voucherd/test/process"
)

// runFailover lets Redis forget the last writes again and again, while vouchers come in and go out.
// With a file store an operator rebuilds each time.
func (w *testbed) runFailover(ctx context.Context) error {
	const overAfter = time.Minute // a loss, and everything goes on
	p := plan.NewFailovers(w.planOptions())
	if err := w.startWorkers(); err != nil {
		return err
	}
	producers := w.newProducers()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { producers.run(gctx, p.Orders); return nil })
	g.Go(func() error { return w.failProcesses(gctx, p.Processes, producers.began) })
	if err := errors.Join(g.Wait(), context.Cause(ctx)); err != nil {
		return err
	}
	producers.report(w.report)
	err := w.drain(ctx, time.Until(w.losses[len(w.losses)-1].Back.Add(overAfter)))
	err = errors.Join(err, w.reconcile(ctx, producers.enqueued, time.Time{}))
	w.workersIdle()
	return err
}

// failOver lets Redis forget its last writes, and puts back what a file store holds.
func (w *testbed) failOver(ctx context.Context, lacking time.Duration) error {
	l, err := w.redis.failOver(ctx, lacking)
	if err != nil {
		return err
	}
	w.losses = append(w.losses, l)
	if w.opts.Store == storeFile {
		_, err = w.rebuild(ctx)
		return err
	}
	w.losses[len(w.losses)-1].Back = time.Now()
	return nil
}

// workersIdle looks for workers that still had something to do when everything was delivered: a
// worker with nothing to do stops at once, one that waits for an attempt takes the time it is
// given.
func (w *testbed) workersIdle() {
	const idleStop = 2 * time.Second
	var busy []string
	for _, m := range w.workers {
		if m.slow > idleStop {
			busy = append(busy, fmt.Sprintf("%s took %v to stop", m.name, m.slow))
		}
	}
	w.report.check("no worker is left waiting for what Redis forgot", len(w.workers), busy...)
}

// runRebuild empties Redis while vouchers come in and go out, and rebuilds it from the blob store
// on disk. Then it does so once more while nothing moves, to see that rebuilding twice changes
// nothing.
func (w *testbed) runRebuild(ctx context.Context) error {
	if w.opts.Store != storeFile {
		return errors.New("only a file store outlives Redis: it needs --store file")
	}
	p := plan.New(w.planOptions())
	for _, o := range p.Orders {
		o.Once()
	}
	w.api.SetFaults(refusals(p.Orders)...)
	if err := w.startWorkers(); err != nil {
		return err
	}
	producers := w.newProducers()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { producers.run(gctx, p.Orders); return nil })
	g.Go(func() error { return w.loseMidRun(gctx, p) })
	if err := errors.Join(g.Wait(), context.Cause(ctx)); err != nil {
		return err
	}
	producers.report(w.report)
	if err := w.rebuildTwice(ctx); err != nil {
		return err
	}
	w.api.SetFaults(refusals(p.Orders)...)
	return w.finish(ctx, producers.enqueued)
}

// loseMidRun loses Redis while the API fails half of the time and producers go on, and leaves the
// API away at the end, so that there is a backlog.
func (w *testbed) loseMidRun(ctx context.Context, p plan.Plan) error {
	length, always := p.Outage.Quiet, refusals(p.Orders)
	process.Sleep(ctx, length/3)
	w.say("API: away half of the time")
	w.api.SetFaults(append([]sandbox.Fault{{Kind: sandbox.Outage, Probability: 0.5}}, always...)...)
	if !process.Sleep(ctx, length/6) {
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
	process.Sleep(ctx, length/6)
	w.say("API: away")
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	return nil
}

func (w *testbed) lose(ctx context.Context) error {
	w.say("FLUSHALL")
	w.losses = append(w.losses, audit.Loss{Gone: time.Now()})
	if err := w.Redis.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty redis: %w", err)
	}
	return nil
}

func (w *testbed) rebuild(ctx context.Context) (string, error) {
	out, err := w.voucherd(ctx, "rebuild")
	if last := &w.losses[len(w.losses)-1]; last.Back.IsZero() {
		last.Back = time.Now()
	}
	w.report.row("voucherd rebuild", "%s", strings.ReplaceAll(strings.TrimSpace(out), "\n", " "))
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
