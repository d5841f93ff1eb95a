// Command bench measures voucherd beside a plain HTTP loop and beside the asynq handler that one
// writes in an afternoon: in one run, on one Redis server, against one API, interleaved and
// repeated. Everything runs on loopback; every system under test is a process of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == childArgument {
		if err := serve(os.Args[2]); err != nil {
			complain(err)
			os.Exit(1) //nolint:forbidigo // a program of its own
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code) //nolint:forbidigo // a program of its own
}

// run gives 0 when everything could be measured, whatever came out; 1 when not; 2 for wrong
// arguments.
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
	if err := measureAll(limited, o); err != nil {
		if cause := context.Cause(limited); cause != nil {
			err = cause
		}
		complain(err)
		return 1
	}
	return 0
}

func complain(err error) { fmt.Fprintln(os.Stderr, "bench:", err) }

// measureAll measures, prints and saves.
func measureAll(ctx context.Context, o options) (err error) {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, name := range o.scenarios {
		s := find(name)
		b.say("\n== %s", s.title)
		if err = s.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	r := b.result(ctx)
	b.say("%s\nresults: %s", r.tables(), o.out)
	return r.save(o.out)
}

// bench is what all measurements of a run share: the Redis server, the API, and what was measured
// so far.
type bench struct {
	opts    options
	dir     string
	out     io.Writer // where people read
	redis   *server
	api     *api
	server  *httptest.Server // of api
	began   time.Time
	started int // systems so far, for the names of their logs
	samples []sample
}

func newBench(ctx context.Context, o options) (b *bench, err error) {
	b = &bench{opts: o, out: os.Stdout, began: time.Now(), api: newAPI()}
	b.server = httptest.NewServer(b.api)
	if b.dir, err = os.MkdirTemp("", "voucherd-bench-"); err == nil && o.profiles != "" {
		if b.opts.profiles, err = filepath.Abs(o.profiles); err == nil {
			err = os.MkdirAll(b.opts.profiles, 0o750) //nolint:gosec // where the user wants it
		}
	}
	if err == nil {
		b.redis, err = startRedis(ctx, b.dir, "redis")
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// close ends what was started and removes what it left.
func (b *bench) close() (err error) {
	b.server.CloseClientConnections()
	b.server.Close()
	if b.redis != nil {
		err = b.redis.close()
	}
	return errors.Join(err, os.RemoveAll(b.dir)) //nolint:gosec // our own directory
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...) // nothing is left to complain to
}

// spent says how long the run has lasted.
func (b *bench) spent() time.Duration { return time.Since(b.began) }

// repeat runs rounds until there are enough of them, or the next one would not end before the given
// share of the run's time. It always runs one.
func (b *bench) repeat(rounds int, share float64, round func(n int) error) error {
	for n := 1; n <= rounds; n++ {
		began := time.Now()
		if err := round(n); err != nil {
			return err
		}
		took := time.Since(began)
		b.say("round %d of at most %d took %v", n, rounds, took.Round(100*time.Millisecond))
		if float64(b.spent()+took) > share*float64(b.opts.time) {
			return nil
		}
	}
	return nil
}

// keep adds a measurement to the results.
func (b *bench) keep(s sample) {
	b.samples = append(b.samples, s)
	if b.opts.verbose {
		b.say("  %s", s)
	}
}
