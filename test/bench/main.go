// Command bench measures voucherd beside a plain HTTP loop and beside the asynq handler that one
// writes in an afternoon: in one run, interleaved and repeated. Everything runs
// on loopback; every worker is a process of its own, with a Redis server of its own. It prints Go's benchmark format, which
// benchstat compares, and leaves tables for people.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9/logging"
)

// options are the flags.
type options struct {
	Quick       bool          `help:"Small counts, one round, no naive handler to be killed: under three minutes, good for a first look."`
	Scenarios   []string      `help:"What to measure, in order: start, idle, kill, outage, workers, memory, sizes, latency, webhooks, backlog (default: all but the last two; quick: without latency too)."`
	Sizes       []int         `help:"Sizes of voucher for the scenario sizes, in KB." default:"2,20,200,1024,5120"`
	Systems     []string      `help:"Systems to keep in the scenario sizes, as the table has them (default: all)."`
	Rounds      int           `help:"Rounds of each measurement (default 3, quick 1)."`
	Concurrency int           `help:"Calls at a time of every system." default:"16"`
	Waiting     int           `help:"Uploads waiting in the scenario outage." default:"1000"`
	Outage      time.Duration `help:"How long the API is away in the scenario outage." default:"75s"`
	Backlog     []int         `help:"Uploads waiting in the scenario backlog." default:"1000,100000,1000000"`
	Delivered   int           `help:"Uploads delivered before, for the largest backlog." default:"1000000"`
	Out         string        `help:"Directory for results.txt and tables.md." default:"artefacts/bench"`
	Profiles    string        `help:"Directory that takes a CPU profile of every process." placeholder:"DIR"`
}

// fill puts in what was not given, and checks the rest.
func (o *options) fill() error {
	if len(o.Scenarios) == 0 {
		o.Scenarios = []string{"start", "idle", "kill", "outage", "workers", "memory", "sizes"}
		if !o.Quick {
			o.Scenarios = append(o.Scenarios, "latency")
		}
	}
	for _, name := range o.Scenarios {
		if scenarios()[name] == nil {
			return fmt.Errorf("--scenarios: there is no %q", name)
		}
	}
	if o.Rounds == 0 {
		o.Rounds = 3
		if o.Quick {
			o.Rounds = 1
		}
	}
	if slices.Min(append(slices.Concat(o.Sizes, o.Backlog), o.Rounds, o.Concurrency, o.Waiting)) < 1 {
		return errors.New("numbers must be above 0")
	}
	return nil
}

func main() {
	logging.Disable()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) > 2 && os.Args[1] == childArgument {
		err = child(ctx, os.Args[2:])
	} else {
		var o options
		parser := kong.Parse(&o, kong.Name("bench"), kong.Description("Measures voucherd side by side with others."))
		parser.FatalIfErrorf(o.fill())
		err = measureAll(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what all measurements of a run share.
type bench struct {
	opts    options
	dir     string
	began   time.Time
	started int // systems so far, for the names of their logs
	results results
}

// measureAll measures, prints and saves.
func measureAll(ctx context.Context, o options) (err error) {
	b := &bench{opts: o, began: time.Now()}
	if b.dir, err = os.MkdirTemp("", "voucherd-bench-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(b.dir)
		} else {
			err = fmt.Errorf("%w; logs are in %s", err, b.dir)
		}
	}()
	if o.Profiles != "" {
		if b.opts.Profiles, err = filepath.Abs(o.Profiles); err == nil {
			err = os.MkdirAll(b.opts.Profiles, 0o750)
		}
		if err != nil {
			return fmt.Errorf("make the directory for profiles: %w", err)
		}
	}
	for _, name := range o.Scenarios {
		if err = scenarios()[name](b, ctx); err != nil {
			return fmt.Errorf("%s: %w", name, errors.Join(err, context.Cause(ctx)))
		}
	}
	b.results.compareAll()
	head := b.about()
	tables := b.results.tables()
	fmt.Print(tables)
	return b.results.save(o.Out, head, tables)
}

// keep adds a measurement to the results, and prints it.
func (b *bench) keep(round int, s *sample) {
	s.round = round
	b.results = append(b.results, s)
	fmt.Println(s.line(false))
}
