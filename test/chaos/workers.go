package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fleet is the workers: real processes, each with a name of its own for each of its lives.
type fleet struct {
	bin, dir string
	settings settings
	limit    time.Duration // for stopping

	mu      sync.Mutex
	members []*member
	killed  map[string]time.Time // by name in the ledger
	faults  []string             // what a worker did wrong
	looking chan struct{}
	looked  sync.WaitGroup
}

// member is one worker through all its lives.
type member struct {
	Name   string `json:"name"`
	Lives  int    `json:"lives"`
	Kills  int    `json:"kills"`
	Stops  int    `json:"stops"`
	Slow   length `json:"slowestStop"`
	PeakKB int64  `json:"peakKB"` // most resident memory of any life

	proc *child
}

func newFleet(bin, dir string, set settings, size int) *fleet {
	f := &fleet{
		bin: bin, dir: dir, settings: set, limit: set.stopLimit(),
		killed: map[string]time.Time{}, looking: make(chan struct{}),
	}
	for i := range size {
		f.members = append(f.members, &member{Name: fmt.Sprintf("w%d", i+1)})
	}
	f.looked.Go(f.watch)
	return f
}

// watch notes the workers' memory, until the fleet is closed.
func (f *fleet) watch() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-f.looking:
			return
		case <-tick.C:
			f.each(func(m *member) { m.look() })
		}
	}
}

func (f *fleet) each(do func(*member)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		do(m)
	}
}

func (m *member) look() {
	if m.proc != nil {
		m.proc.look()
		m.PeakKB = max(m.PeakKB, m.proc.peak)
	}
}

// start starts a worker that does not run, in a new life.
func (f *fleet) start(i int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[i]
	name := fmt.Sprintf("%s.%d", m.Name, m.Lives+1)
	env := append(f.settings.environ(), "VOUCHERD_WORKER_NAME="+name)
	proc, err := spawn(program{
		name: name, path: f.bin, args: []string{"worker", "--listen", "127.0.0.1:0"}, env: env, dir: f.dir,
	})
	if err != nil {
		return err
	}
	m.proc, m.Lives = proc, m.Lives+1
	return nil
}

// startAll starts every worker.
func (f *fleet) startAll() error {
	for i := range f.members {
		if err := f.start(i); err != nil {
			return err
		}
	}
	return nil
}

// kill ends a worker with SIGKILL.
func (f *fleet) kill(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[i]
	if !f.alive(m) {
		return
	}
	m.look()
	m.proc.kill()
	f.killed[m.proc.name] = time.Now()
	m.Kills++
}

// pause stops a worker for a while, as a machine does that is short of everything.
func (f *fleet) pause(ctx context.Context, i int, d time.Duration) error {
	f.mu.Lock()
	m := f.members[i]
	alive := f.alive(m)
	f.mu.Unlock()
	if !alive {
		return nil
	}
	if err := m.proc.proc.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause worker: %w", err)
	}
	sleep(ctx, d)
	if err := m.proc.proc.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("resume worker: %w", err)
	}
	return nil
}

// alive notes a worker that has ended by itself.
func (f *fleet) alive(m *member) bool {
	if m.proc == nil {
		return false
	}
	if m.proc.ended() {
		f.faults = append(f.faults, fmt.Sprintf("%s ended by itself: %v", m.proc.name, m.proc.end))
		m.proc = nil
		return false
	}
	return true
}

// stop ends a worker with SIGTERM. Excused says that it may take its time: what it has to write down it cannot.
func (f *fleet) stop(i int, excused func(from, to time.Time) bool) {
	f.mu.Lock()
	m := f.members[i]
	if !f.alive(m) {
		f.mu.Unlock()
		return
	}
	m.look()
	proc := m.proc
	m.proc = nil // while it stops nobody else touches it
	m.Stops++
	f.mu.Unlock()
	began := time.Now()
	took, err := proc.stop(f.limit)
	f.mu.Lock()
	defer f.mu.Unlock()
	m.PeakKB = max(m.PeakKB, proc.peak)
	if excused(began, time.Now()) {
		if err != nil {
			f.killed[proc.name] = time.Now() // it was, at its limit
		}
		return
	}
	m.Slow = max(m.Slow, length(took))
	if err != nil {
		f.faults = append(f.faults, err.Error())
	}
}

// stopAll ends all workers with SIGTERM, at the same time.
func (f *fleet) stopAll(excused func(from, to time.Time) bool) {
	var wg sync.WaitGroup
	for i := range f.members {
		wg.Go(func() { f.stop(i, excused) })
	}
	wg.Wait()
}

// close kills what still runs.
func (f *fleet) close() {
	close(f.looking)
	f.looked.Wait()
	f.each(func(m *member) {
		if m.proc != nil {
			m.proc.kill()
		}
	})
}

// account gives what the report says of the workers.
func (f *fleet) account() (members []member, killed map[string]time.Time, faults []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		members = append(members, *m)
	}
	return members, maps.Clone(f.killed), append([]string{}, f.faults...)
}

// logs reads what all workers have logged, file by file.
func (f *fleet) logs(ctx context.Context, read func(name, text string)) error {
	files, err := filepath.Glob(filepath.Join(f.dir, "w*.log"))
	if err != nil {
		return fmt.Errorf("list the workers' logs: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // in our own directory
		if err != nil || ctx.Err() != nil {
			return fmt.Errorf("read a worker's log: %w", err)
		}
		read(strings.TrimSuffix(filepath.Base(file), ".log"), string(text))
	}
	return nil
}
