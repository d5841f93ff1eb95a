package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/process"
)

// workers are real processes, each with a name of its own for each of its lives.
type workers struct {
	bin, dir string
	settings settings

	mu     sync.Mutex
	all    []*worker
	killed map[string]time.Time    // by name in the ledger
	frozen map[string][]audit.Span // likewise
	errs   []string                // what a worker did wrong
}

// worker is one worker through all its lives.
type worker struct {
	name                         string
	lives, kills, stops, freezes int
	slow                         time.Duration // slowest stop
	peak                         int64         // most bytes in memory of any life

	proc *process.Process
}

func newWorkers(bin, dir string, set settings, n int) *workers {
	ws := &workers{bin: bin, dir: dir, settings: set, killed: map[string]time.Time{}, frozen: map[string][]audit.Span{}}
	for i := range n {
		ws.all = append(ws.all, &worker{name: fmt.Sprintf("w%d", i+1)})
	}
	return ws
}

// start starts a worker that does not run, in a new life.
func (ws *workers) start(i int) (err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.all[i]
	w.lives++
	name := fmt.Sprintf("%s.%d", w.name, w.lives)
	w.proc, err = process.Start(process.Program{
		Name: name, Path: ws.bin, Args: []string{"worker", "--listen", "127.0.0.1:0"}, Dir: ws.dir,
		Env: append(ws.settings.environ(), "VOUCHERD_WORKER_NAME="+name),
	})
	return err
}

func (ws *workers) startAll() error {
	for i := range ws.all {
		if err := ws.start(i); err != nil {
			return err
		}
	}
	return nil
}

// take gives a worker and its process, which nobody else touches then; nil when it does not run.
func (ws *workers) take(i int) (*worker, *process.Process) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.all[i]
	proc := w.proc
	w.proc = nil
	if proc == nil {
		return w, nil
	}
	if ended, err := proc.Ended(); ended {
		ws.errs = append(ws.errs, fmt.Sprintf("%s ended by itself: %v", proc.Name(), err))
		return w, nil
	}
	_, peak := process.Memory(proc.PID())
	w.peak = max(w.peak, peak)
	return w, proc
}

// kill ends a worker with SIGKILL.
func (ws *workers) kill(i int) {
	w, proc := ws.take(i)
	if proc == nil {
		return
	}
	proc.Kill()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.killed[proc.Name()] = time.Now()
	w.kills++
}

// freeze stops a worker with SIGSTOP for a while, as a machine does that is short of everything.
func (ws *workers) freeze(ctx context.Context, i int, d time.Duration) error {
	w, proc := ws.take(i)
	if proc == nil {
		return nil
	}
	from := time.Now()
	err := pause(ctx, proc, d)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	const wakes = time.Second // what it did just before, or does next, others may have taken over too
	ws.frozen[proc.Name()] = append(ws.frozen[proc.Name()], audit.Span{From: from, To: time.Now().Add(wakes)})
	w.freezes++
	w.proc = proc
	return err
}

// stop ends a worker with SIGTERM. Excused says that it may take its time: what it has to write
// down it cannot.
func (ws *workers) stop(i int, excused func(from, to time.Time) bool) {
	w, proc := ws.take(i)
	if proc == nil {
		return
	}
	began := time.Now()
	took, err := proc.Stop(ws.settings.stopLimit())
	late := excused(began, time.Now())
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.stops++
	if late {
		if err != nil {
			ws.killed[proc.Name()] = time.Now() // it was, at its limit
		}
		return
	}
	if err != nil {
		ws.errs = append(ws.errs, err.Error())
	}
	w.slow = max(w.slow, took)
}

// stopAll ends all workers with SIGTERM, at the same time.
func (ws *workers) stopAll() {
	var wg sync.WaitGroup
	for i := range ws.all {
		wg.Go(func() { ws.stop(i, func(time.Time, time.Time) bool { return false }) })
	}
	wg.Wait()
}

// close kills what still runs.
func (ws *workers) close() {
	for i := range ws.all {
		ws.kill(i)
	}
}

// report says how the workers fared.
func (ws *workers) report(r *report) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.all {
		r.row("worker "+w.name, "%d lives, %d kills, %d stops (slowest %v), %d freezes, at most %.1f MiB", w.lives, w.kills, w.stops,
			short(w.slow), w.freezes, float64(w.peak)/(1<<20))
	}
	r.check("workers end only when told to, and in time", len(ws.all), ws.errs...)
}
