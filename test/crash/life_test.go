package crash_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// point is where a victim dies.
type point struct{ name, when string }

func (p point) request() bool { return strings.HasPrefix(p.name, "http: ") }

// atStop says whether a worker comes there when it stops.
func (p point) atStop() bool { return strings.HasPrefix(p.name, "redis: ZREM asynq:") }

// start starts a command of the program in a new life.
func (r *run) start(args []string, env ...string) *process.Process {
	r.Helper()
	r.lives++
	name := fmt.Sprintf("life-%d", r.lives)
	all := append(append([]string{"PATH=" + os.Getenv("PATH"), "VOUCHERD_WORKER_NAME=" + name}, r.env...), env...)
	p, err := process.Start(process.Program{Name: name, Path: built.with(r.T, r.tags), Args: args, Dir: r.dir, Env: all})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(p.Kill)
	return p
}

// A victim that has nothing to do is given this long to come to its point: it must come there, or
// chance has a say, or it has died there before, and what was to be done may be done.
const patience, linger, lingerAgain = time.Minute, 6 * time.Second, time.Second

// life lets the victim live until it dies at the point, or until all is done that the scenario
// has for it, and says whether it died. Without a point it must not.
func (r *run) life(at point, env ...string) (died bool) {
	r.Helper()
	if at.name != "" && !at.request() {
		env = append(env, "CRASH_AT="+at.when+" "+at.name)
	}
	if at.request() { // before it starts: it may be quick
		r.aim.Store(&at)
	}
	p := r.start(r.scenario.victim(r), env...)
	r.victim.Store(p)
	stopped, deadline := false, time.Now().Add(limit)
	var since time.Time // all is done
	wait := patience
	switch {
	case at.name == "", at.atStop():
		wait = 0
	case r.dead > 0:
		wait = lingerAgain
	case r.scenario.loose:
		wait = linger
	}
	for {
		if ended, err := p.Ended(); ended {
			return r.ended(p, err)
		}
		switch so := r.scenario.done != nil && !stopped && r.up(p) && r.scenario.done(r); {
		case so && since.IsZero():
			since = time.Now()
		case so && time.Since(since) >= wait:
			stopped = true
			r.aim.Store(nil)
			_, _ = p.Stop(limit) // Ended says how it was
		case time.Now().After(deadline):
			r.Fatalf("it came to no end in life %d, with death %q\n%s", r.lives, at, r.logs())
		}
		process.Sleep(r.Context(), 30*time.Millisecond)
	}
}

// up says whether a process is past its start, and a request to stop is one to stop in order.
func (r *run) up(p *process.Process) bool {
	log, _ := os.ReadFile(filepath.Join(r.dir, p.Name()+".log"))
	return bytes.Contains(log, []byte(`"event":"worker.started"`)) || bytes.Contains(log, []byte(`"event":"gateway.listening"`))
}

// stop stops a process that is no victim.
func (r *run) stop(p *process.Process) {
	r.Helper()
	if _, err := p.Stop(limit); err != nil {
		r.Fatalf("%v\n%s", err, r.logs())
	}
}

// ended says whether the victim died at its point.
func (r *run) ended(p *process.Process, err error) (died bool) {
	r.Helper()
	switch {
	case err == nil:
		if r.scenario.ended != nil {
			r.scenario.ended(r)
		}
		return false
	case !killedItself(err):
		r.Fatalf("%s ended with %v\n%s", p.Name(), err, r.logs())
	}
	r.mu.Lock()
	r.killed[p.Name()] = time.Now()
	r.mu.Unlock()
	r.dead++
	if r.scenario.died != nil {
		r.scenario.died(r)
	}
	return true
}

func killedItself(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// deaths lets the victim die at a point so many times, then live, and the rest go on to its end.
func (r *run) deaths(at point, n int) {
	r.Helper()
	r.scenario.prepare(r)
	for i := range n {
		if r.life(at) {
			continue
		}
		if i == 0 && !r.scenario.loose {
			r.Errorf("it was to die %s %q, and never came there", at.when, at.name)
		}
		break // what is done is done
	}
	if r.life(point{}) {
		r.Errorf("it died of itself\n%s", r.logs())
	}
	r.finish()
}

// finish has a worker do what is left, and holds all against the API's log.
func (r *run) finish() {
	r.Helper()
	if r.other == nil && !r.settled() {
		r.other = r.start([]string{"worker"})
	}
	if r.other != nil {
		r.await("all is delivered and no voucher is left", func() bool { return r.up(r.other) && r.settled() })
		r.stop(r.other)
	}
	for _, breach := range r.audit() {
		r.Errorf("%s\n%s", breach, r.logs())
	}
}

// logs gives the ends of what the lives printed.
func (r *run) logs() string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(r.dir, "*.log"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		fmt.Fprintf(&all, "--- %s\n%s", filepath.Base(f), b[max(0, len(b)-3000):])
	}
	for _, u := range r.uploads() {
		fmt.Fprintf(&all, "%+v\n", u)
	}
	return all.String()
}
