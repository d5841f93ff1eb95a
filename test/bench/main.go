// Command bench measures voucherd beside a plain HTTP loop and beside the asynq handler that one writes in an afternoon:
// in one run, on one Redis server, against one API process, interleaved and repeated. Everything runs on loopback; every
// system under test is a process of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == childArgument {
		// A child ends when its parent closes its standard input, and so also when the parent dies.
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		os.Exit(serveChild()) //nolint:forbidigo // a program of its own
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code) //nolint:forbidigo // a program of its own
}

// run gives 0 when everything could be measured, whatever came out; 1 when not; 2 for wrong arguments.
func run(ctx context.Context, args []string) int {
	o, err := parse(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		complain(err)
		return 2
	}
	limited, cancel := context.WithTimeoutCause(ctx, o.hardLimit(), errors.New("the run took far longer than planned"))
	defer cancel()
	if err := bench(limited, o); err != nil {
		if cause := context.Cause(limited); cause != nil {
			err = cause
		}
		complain(err)
		return 1
	}
	return 0
}

func complain(err error) { fmt.Fprintln(os.Stderr, "bench:", err) }

// bench measures, prints and saves.
func bench(ctx context.Context, o options) (err error) {
	st, err := newStage(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	for _, name := range o.scenarios {
		st.term.say("\n== %s", title(name))
		if err = st.play(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	r, err := st.result(ctx)
	if err != nil {
		return err
	}
	st.term.say("%s", tables(r))
	if err := r.save(o.out); err != nil {
		return err
	}
	st.term.say("results and charts: %s", o.out)
	if o.docs == "" {
		return nil
	}
	return r.document(o.docs)
}

// play carries out one scenario.
func (st *stage) play(ctx context.Context, name string) error {
	switch name {
	case scenarioMemory:
		return st.playMemory(ctx)
	case scenarioWorkers:
		return st.playWorkers(ctx)
	case scenarioLatency:
		return st.playLatency(ctx)
	case scenarioBacklog:
		return st.playBacklog(ctx)
	default:
		return st.playSizes(ctx)
	}
}
