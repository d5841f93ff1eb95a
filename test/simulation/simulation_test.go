package simulation

import (
	"context"
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

//nolint:gochecknoglobals // flags of a test binary are
var (
	weeks = flag.Int("weeks", 0, "stories to simulate, each of the next seed")
	seed  = flag.Uint64("seed", 1, "seed of the first story")
	days  = flag.Int("days", 7, "how long each of them is")
)

// TestMain silences go-redis, which tells of each connection that fails.
func TestMain(m *testing.M) {
	redis.SetLogger(silence{})
	debug.SetGCPercent(400) // each call of a script makes an interpreter of its own
	m.Run()
}

type silence struct{}

// Printf says nothing.
func (silence) Printf(context.Context, string, ...any) {}

// built says whether the tests were built with a flag, such as "-race=true".
func built(flag string) bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key+"="+s.Value == flag })
}

// mutant says that Begin is broken on purpose, and that it is to be noticed.
func mutant() bool { return built("-tags=mutant") }

// TestWeeks plays as many stories as are asked for.
func TestWeeks(t *testing.T) {
	t.Parallel()
	for i := range *weeks {
		n := *seed + uint64(i)
		t.Run(fmt.Sprintf("seed %d", n), func(t *testing.T) {
			t.Parallel()
			simulate(t, draw(n, *days))
		})
	}
}

// TestTasksHandedOutAgain plays an hour in which the API is slow, and the queue hands out again and
// again what is under way. It is also what a Begin that is broken on purpose must fail at.
func TestTasksHandedOutAgain(t *testing.T) {
	t.Parallel()
	s := story{seed: 1, long: time.Hour, spells: []spell{{kind: slow, from: time.Minute, to: time.Hour, faults: []sandbox.Fault{
		{Kind: sandbox.Slow, Delay: sandbox.Duration(40 * time.Second)},
	}}}}
	for i := range 40 {
		s.orders = append(s.orders, order{at: time.Duration(i) * time.Minute, vouchers: []voucher{{}}})
		s.events = append(s.events, event{at: time.Duration(i)*time.Minute + 20*time.Second, what: handAgain})
	}
	w, f := run(t, s)
	if !mutant() {
		w.report(t, f)
		return
	}
	if len(f.broken) == 0 {
		t.Fatal("nobody noticed that uploads were sent twice at once")
	}
	t.Logf("%d breaches, such as %s", len(f.broken), f.broken[0])
}

// simulate plays a story and audits it.
func simulate(t *testing.T, s story) {
	t.Helper()
	began := time.Now()
	w, f := run(t, s)
	took := time.Since(began)
	w.report(t, f)
	t.Logf("%v simulated in %v, %.0f hours a minute", f.took.Round(time.Minute), took.Round(time.Millisecond), f.took.Hours()/took.Minutes())
}

// run plays a story in a bubble of its own.
func run(t *testing.T, s story) (w *week, f *findings) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if w, err = newWeek(s); err != nil {
			t.Fatal(err)
		}
		err = w.play(t.Context())
		took := time.Since(w.start)
		if err == nil {
			f, err = w.audit(t.Context())
		}
		w.close()
		if err != nil {
			t.Fatalf("seed %d: %v", s.seed, err)
		}
		f.took = took
	})
	return w, f
}

// report tells what was found. Where something must not be, it tells all that happened.
func (w *week) report(t *testing.T, f *findings) {
	t.Helper()
	t.Logf("seed %d: %d uploads %v, %d requests, outcomes %v, %d taken twice, %d deaths",
		w.seed, len(w.enqueued), f.states, f.requests, f.outcomes, f.resent, len(w.killed))
	if len(f.broken) == 0 {
		return
	}
	for _, l := range w.logs.All() {
		if l.Message == "asynq" { // it is out of breath while Redis is away
			continue
		}
		w.notes = append(w.notes, fmt.Sprintf("%s %s %s %v", w.when(l.Time), l.LoggerName, l.Message, l.ContextMap()))
	}
	t.Logf("the story:\n%s\nwhat happened:\n%s\nthe uploads:\n%s",
		strings.Join(w.lines(), "\n"), strings.Join(w.notes, "\n"), strings.Join(w.tellUploads(f), "\n"))
	t.Errorf("%d breaches:\n%s\nonce more: go test ./test/simulation -run Weeks -weeks 1 -seed %d -days %d",
		len(f.broken), strings.Join(f.broken, "\n"), w.seed, w.long/day)
}

// TestStopWhileRedisIsOutOfReach stops a worker that could not record what the API answered, when
// the lease of its task has long ended: it waits for that outcome, and logs it in the end.
func TestStopWhileRedisIsOutOfReach(t *testing.T) {
	t.Parallel()
	const called = 5 * time.Minute
	s := story{
		seed: 1, long: called + 6*time.Minute,
		spells: []spell{{kind: slow, from: time.Minute, to: called + 5*time.Minute, faults: []sandbox.Fault{
			{Kind: sandbox.Slow, Delay: sandbox.Duration(40 * time.Second)},
		}}},
		orders: []order{{at: called, vouchers: []voucher{{}}}},
	}
	for slot := range workers {
		s.events = append(s.events, event{at: called + 10*time.Second, what: partition, slot: slot, long: 4 * time.Minute})
	}
	s.events = append(s.events, event{at: called + 2*time.Minute, what: rolling})
	w, f := run(t, s)
	w.report(t, f)
	if w.logs.FilterMessage("upload.outcome_not_recorded").Len() == 0 {
		t.Error("the outcome is not in the log")
	}
}
