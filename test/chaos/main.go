// Command chaos pushes vouchers through real workers and a real Redis while it kills, stops and empties what it can, and
// lets the API fail in every way it knows. Then it holds the ledger against the API's own log. Loopback only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

func main() {
	logging.Disable() // that Redis is away is meant
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run carries out scenarios, side by side. It gives 0 when all that must hold did, 1 when something did not, 2 for wrong
// arguments.
func run(ctx context.Context, args []string) int {
	o, err := parse(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	limited, cancel := context.WithTimeoutCause(ctx, o.limit(),
		fmt.Errorf("the run was to take at most %g minutes (--minutes)", o.minutes))
	defer cancel()
	dir, err := os.MkdirTemp("", "voucherd-chaos-bin-")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // what is left there is no harm
		o.bin, err = build(limited, dir, o.bin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	all := o.runs()
	reports := make([]*report, len(all))
	var wg sync.WaitGroup
	for i, o := range all {
		wg.Go(func() { reports[i] = carryOut(limited, o) })
	}
	wg.Wait()
	code := 0
	for _, r := range reports {
		r.print(os.Stdout)
		if !r.good() {
			code = 1
		}
	}
	return code
}

// carryOut carries out one scenario.
func carryOut(ctx context.Context, o options) *report {
	w, err := newWorld(ctx, o, stageOf(o))
	if err == nil {
		w.say("settings: %s", w.settings)
		err = w.play(ctx)
	}
	if err != nil {
		w.report.Error = err.Error()
	}
	w.finish(o)
	w.close(o.keep || !w.report.good() && !errors.Is(ctx.Err(), context.Canceled))
	return w.report
}

// stageOf is what the scenario needs.
func stageOf(o options) stage {
	s := stage{accounts: accounts("main", "second"), vars: compressed(), workers: o.workers, delay: 150 * time.Millisecond}
	switch o.scenario {
	case scenarioOutage:
		s.accounts, s.vars, s.delay = accounts("main"), nil, 50*time.Millisecond
	case scenarioRejected:
		s.accounts, s.delay = accounts("main"), 0
	case scenarioFailover: // slow enough for a backlog, so that every slot is taken when Redis forgets
		s.accounts, s.delay = accounts("main"), 400*time.Millisecond
	}
	return s
}

// play carries out the scenario.
func (w *world) play(ctx context.Context) error {
	switch w.opts.scenario {
	case scenarioOutage:
		return w.playOutage(ctx)
	case scenarioRejected:
		return w.playRejected(ctx)
	case scenarioRebuild:
		return w.playRebuild(ctx)
	case scenarioFailover:
		return w.playFailover(ctx)
	default:
		return w.playChaos(ctx)
	}
}

// finish completes the report, and saves it.
func (w *world) finish(o options) {
	r := w.report
	r.Took = length(time.Since(w.began))
	r.Settings = map[string]string{}
	for _, v := range w.settings.vars {
		r.Settings[v[0]] = v[1]
	}
	if w.fleet != nil {
		var faults []string
		r.Workers, _, faults = w.fleet.account()
		r.check("workers end only when told to, and in time", len(r.Workers), faults...)
	}
	if o.report != "" {
		if err := r.save(o.report); err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			r.Error = err.Error()
		}
	}
}
