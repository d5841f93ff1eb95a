// Command chaos pushes vouchers through real workers and a real Redis while it kills, stops and
// empties what it can, and lets the API fail in every way it knows. Then it holds the ledger
// against the API's own log. Loopback only.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

func main() {
	logging.Disable() // Redis is away on purpose
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs scenarios side by side. It gives 0 when all that must hold did, 1 when something did
// not, 2 for wrong arguments.
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
		fmt.Errorf("the run must end within %g minutes (--minutes)", o.minutes))
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
		wg.Go(func() { reports[i] = runScenario(limited, o) })
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

// build compiles the program under test, unless there is one already.
func build(ctx context.Context, into, given string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	path := filepath.Join(into, "voucherd")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, "github.com/voucherd/voucherd/cmd/voucherd") //nolint:gosec // into is ours
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build voucherd: %w\n%s", err, output.String())
	}
	return path, nil
}

func runScenario(ctx context.Context, o options) *report {
	s := find(o.scenario)
	w, err := newTestbed(ctx, o, s)
	if err == nil {
		w.say("settings: %s", w.settings)
		err = s.run(w, ctx)
	}
	if err != nil {
		w.report.err = err
	}
	w.finish()
	w.close(o.keep || !w.report.good() && !errors.Is(ctx.Err(), context.Canceled))
	return w.report
}

// finish completes the report.
func (w *testbed) finish() {
	w.report.took = time.Since(w.began)
	if w.workers == nil {
		return
	}
	all, _, errs := w.workers.summary()
	for _, m := range all {
		w.report.row("worker "+m.name, "%d lives, %d kills, %d stops (slowest %v), at most %.1f MiB", m.lives, m.kills, m.stops,
			short(m.slow), float64(m.peak)/(1<<20))
	}
	w.report.check("workers end only when told to, and in time", len(all), errs...)
}
