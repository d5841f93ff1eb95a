package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// workers are real processes, each with a name of its own for each of its lives.
type workers struct {
	bin, dir string
	settings settings

	mu     sync.Mutex
	all    []*worker
	killed map[string]time.Time // by name in the ledger
	errs   []string             // what a worker did wrong
}

// worker is one worker through all its lives.
type worker struct {
	name                string
	lives, kills, stops int
	slow                time.Duration // slowest stop
	peak                int64         // most bytes in memory of any life

	proc *process.Process
}

func newWorkers(bin, dir string, set settings, n int) *workers {
	ws := &workers{bin: bin, dir: dir, settings: set, killed: map[string]time.Time{}}
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

// pause stops a worker for a while, as a machine does that is short of everything.
func (ws *workers) pause(ctx context.Context, i int, d time.Duration) error {
	w, proc := ws.take(i)
	if proc == nil {
		return nil
	}
	err := pause(ctx, proc, d)
	ws.mu.Lock()
	defer ws.mu.Unlock()
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
	switch {
	case late && err != nil:
		ws.killed[proc.Name()] = time.Now() // it was, at its limit
	case late:
	case err != nil:
		ws.errs = append(ws.errs, err.Error())
		fallthrough
	default:
		w.slow = max(w.slow, took)
	}
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

// summary gives what the report says of the workers, which were killed when, and what they did
// wrong.
func (ws *workers) summary() (all []worker, killed map[string]time.Time, errs []string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.all {
		all = append(all, *w)
	}
	return all, maps.Clone(ws.killed), slices.Clone(ws.errs)
}
