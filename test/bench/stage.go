package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stage is what all measurements of a run share: the Redis server, the API, and what was measured so far.
type stage struct {
	opts    options
	dir     string
	term    terminal
	redis   *server
	api     *child
	apiURL  string
	began   time.Time
	hired   int // children so far, for the names of their logs
	samples []sample
}

// terminal is where people read.
type terminal struct{ w io.Writer }

func (t terminal) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.w, format+"\n", args...) // nothing is left to complain to
}

func newStage(ctx context.Context, o options) (st *stage, err error) {
	st = &stage{opts: o, term: terminal{os.Stdout}, began: time.Now()}
	if st.dir, err = os.MkdirTemp("", "voucherd-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	if o.profiles != "" {
		if st.opts.profiles, err = filepath.Abs(o.profiles); err == nil {
			err = os.MkdirAll(st.opts.profiles, 0o750) //nolint:gosec // where the user wants it
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make the directory for profiles: %w", err), st.close())
		}
	}
	st.redis, err = startRedis(ctx, st.dir, "redis")
	if err == nil {
		var ready reply
		st.api, ready, err = spawn(ctx, st.dir, "api", spec{Role: roleAPI})
		st.apiURL = ready.URL
	}
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	return st, nil
}

// close ends all children and removes what they left.
func (st *stage) close() error {
	var errs []error
	if st.api != nil {
		errs = append(errs, st.api.stop())
	}
	if st.redis != nil {
		errs = append(errs, st.redis.close())
	}
	return errors.Join(append(errs, os.RemoveAll(st.dir))...) //nolint:gosec // our own directory
}

// spent says how long the run has lasted.
func (st *stage) spent() time.Duration { return time.Since(st.began) }

// repeat plays rounds until there are enough of them, or the next one would not end before the given share of the run's
// time. One it always plays.
func (st *stage) repeat(ctx context.Context, rounds int, share float64, round func(ctx context.Context, n int) error) error {
	for n := 1; n <= rounds; n++ {
		began := time.Now()
		if err := round(ctx, n); err != nil {
			return err
		}
		took := time.Since(began)
		st.term.say("round %d of at most %d took %v", n, rounds, took.Round(100*time.Millisecond))
		if float64(st.spent()+took) > share*float64(st.opts.time) {
			return nil
		}
	}
	return nil
}

// keep adds a measurement to the results.
func (st *stage) keep(s sample) {
	st.samples = append(st.samples, s)
	if st.opts.verbose {
		st.term.say("  %s", s)
	}
}

func (st *stage) redisVersion(ctx context.Context) (string, error) {
	info, err := st.redis.rdb.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("ask for redis' version: %w", err)
	}
	_, rest, _ := strings.Cut(info, "redis_version:")
	version, _, _ := strings.Cut(rest, "\r\n")
	return version, nil
}
