package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/test/chaos/plan"
)

const (
	overAfter = time.Minute // a loss, and everything goes on
	idleStop  = 2 * time.Second
)

// runFailover lets Redis forget the last writes again and again, while vouchers come in and go out.
// With a file store an operator rebuilds each time.
func (w *testbed) runFailover(ctx context.Context) error {
	p := plan.NewFailovers(w.planOptions())
	w.describe(p)
	if err := w.workers.startAll(); err != nil {
		return err
	}
	producers := w.newProducers()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { producers.run(gctx, p.Orders); return nil })
	g.Go(func() error { return w.failProcesses(gctx, p.Processes, producers.began) })
	if err := g.Wait(); err != nil {
		return err
	}
	w.checkProducers(producers.tally)
	err := w.drain(ctx, time.Until(w.losses[len(w.losses)-1].Back.Add(overAfter)))
	after, cancel := lastLook(ctx)
	defer cancel()
	err = errors.Join(err, w.reconcileLosses(after, producers.enqueued, time.Time{}))
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
	if w.opts.store == storeFile {
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
	all, _, _ := w.workers.summary()
	var busy []string
	for _, m := range all {
		if m.slow > idleStop {
			busy = append(busy, fmt.Sprintf("%s took %v to stop", m.name, m.slow))
		}
	}
	w.report.check("no worker is left waiting for what Redis forgot", len(all), busy...)
}
