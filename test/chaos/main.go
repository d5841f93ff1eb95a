// Command chaos pushes vouchers through real workers and a real Redis while it kills, stops and
// empties what it can, and lets the API fail in every way it knows. Then it holds the ledger
// against the API's own log. Loopback only.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9/logging"
)

func main() {
	logging.Disable() // Redis is away on purpose
	var o options
	parser := kong.Parse(&o, kong.Name("chaos"), kong.Description("Kills and breaks everything for a while, then counts the vouchers."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	good, err := run(ctx, o)
	stop()
	parser.FatalIfErrorf(err)
	if !good {
		os.Exit(1)
	}
}

// run runs scenarios side by side, and says whether all that must hold did.
func run(ctx context.Context, o options) (good bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Limit, fmt.Errorf("the run must end within %v (--limit)", o.Limit))
	defer cancel()
	if o.Bin == "" {
		dir, err := os.MkdirTemp("", "voucherd-chaos-bin-")
		if err != nil {
			return false, fmt.Errorf("make a directory: %w", err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // what is left there is no harm
		o.Bin = filepath.Join(dir, "voucherd")
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", o.Bin, "github.com/voucherd/voucherd/cmd/voucherd") //nolint:gosec // the directory is ours
		if output, err := cmd.CombinedOutput(); err != nil {
			return false, fmt.Errorf("build voucherd: %w\n%s", err, output)
		}
	}
	all := o.runs()
	reports := make([]*report, len(all))
	var wg sync.WaitGroup
	for i, o := range all {
		wg.Go(func() { reports[i] = runScenario(ctx, o) })
	}
	wg.Wait()
	good = true
	for _, r := range reports {
		r.print(os.Stdout)
		good = good && r.good()
	}
	return good, nil
}

func runScenario(ctx context.Context, o options) *report {
	s := find(o.Scenario)
	w, err := newTestbed(ctx, o, s)
	if err == nil {
		w.say("settings: %s", strings.Join(w.settings.vars, " "))
		err = s.run(w, ctx)
	}
	w.report.err, w.report.took = err, time.Since(w.began)
	w.reportWorkers()
	w.close(o.Keep || !w.report.good() && !errors.Is(ctx.Err(), context.Canceled))
	return w.report
}
