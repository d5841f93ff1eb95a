package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/process"
)

// worker is one worker through all its lives, each a process with a name of its own. It is used by
// one goroutine at a time.
type worker struct {
	name     string
	bin, dir string
	settings settings
	vars     []string         // of the environment, before those of settings
	proc     *process.Process // nil when it does not run

	lives, kills, stops int
	slow                time.Duration           // slowest stop
	peak                int64                   // most bytes in memory of any life
	killed              map[string]time.Time    // by name in the ledger
	frozen              map[string][]audit.Span // likewise
	names               []string                // of all its lives
	errs                []string                // what it did wrong
}

func newWorkers(bin, dir string, set settings, n int) (all []*worker) {
	for i := range n {
		all = append(all, &worker{
			name: fmt.Sprintf("w%d", i+1), bin: bin, dir: dir, settings: set,
			killed: map[string]time.Time{}, frozen: map[string][]audit.Span{},
		})
	}
	return all
}

// start starts a worker that does not run, in a new life.
func (w *worker) start() (err error) {
	w.lives++
	name := fmt.Sprintf("%s.%d", w.name, w.lives)
	w.names = append(w.names, name)
	w.proc, err = process.Start(process.Program{
		Name: name, Path: w.bin, Args: []string{"worker", "--listen", "127.0.0.1:0"}, Dir: w.dir,
		Env: slices.Concat(w.settings.environ(), w.vars, []string{"VOUCHERD_WORKER_NAME=" + name}),
	})
	return err
}

func (w *testbed) startWorkers() error {
	for _, m := range w.workers {
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

// runs says whether the worker runs, and notes when it has ended by itself.
func (w *worker) runs() bool {
	if w.proc == nil {
		return false
	}
	if ended, err := w.proc.Ended(); ended {
		w.errs = append(w.errs, fmt.Sprintf("%s ended by itself: %v", w.proc.Name(), err))
		w.proc = nil
		return false
	}
	_, peak := process.Memory(w.proc.PID())
	w.peak = max(w.peak, peak)
	return true
}

// kill ends the worker with SIGKILL.
func (w *worker) kill() {
	if !w.runs() {
		return
	}
	w.proc.Kill()
	w.killed[w.proc.Name()] = time.Now()
	w.kills++
	w.proc = nil
}

// freeze stops the worker with SIGSTOP for a while, as a machine does that is short of everything.
func (w *worker) freeze(ctx context.Context, d time.Duration) error {
	const wakes = time.Second // what it does next others may have taken over too
	if !w.runs() {
		return nil
	}
	from, name := time.Now(), w.proc.Name()
	err := pause(ctx, w.proc, d)
	w.frozen[name] = append(w.frozen[name], audit.Span{From: from, To: time.Now().Add(wakes)})
	return err
}

// stop ends the worker with SIGTERM. Excused says that it may take its time: what it has to write
// down it cannot.
func (w *worker) stop(excused func(from, to time.Time) bool) {
	if !w.runs() {
		return
	}
	began, name := time.Now(), w.proc.Name()
	took, err := w.proc.Stop(w.settings.stopLimit())
	w.proc = nil
	w.stops++
	switch {
	case !excused(began, time.Now()):
		w.slow = max(w.slow, took)
		if err != nil {
			w.errs = append(w.errs, err.Error())
		}
	case err != nil:
		w.killed[name] = time.Now() // it was, at its limit
	}
}

// stopWorkers ends all workers with SIGTERM, at the same time.
func (w *testbed) stopWorkers() {
	var wg sync.WaitGroup
	for _, m := range w.workers {
		wg.Go(func() { m.stop(func(time.Time, time.Time) bool { return false }) })
	}
	wg.Wait()
}

// interruptions gives when which worker was killed, and when frozen, by names in the ledger.
func (w *testbed) interruptions() (killed map[string]time.Time, frozen map[string][]audit.Span) {
	killed, frozen = map[string]time.Time{}, map[string][]audit.Span{}
	for _, m := range w.workers {
		maps.Copy(killed, m.killed)
		maps.Copy(frozen, m.frozen)
	}
	return killed, frozen
}

// reportWorkers says how the workers fared.
func (w *testbed) reportWorkers() {
	var errs []string
	for _, m := range w.workers {
		w.report.row("worker "+m.name, "%d lives, %d kills, %d stops (slowest %v), frozen %d times, at most %.1f MiB", m.lives, m.kills,
			m.stops, short(m.slow), len(m.frozen), float64(m.peak)/(1<<20))
		errs = append(errs, m.errs...)
	}
	w.report.check("workers end only when told to, and in time", len(w.workers), errs...)
}
