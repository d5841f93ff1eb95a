package worker

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate is a lane's gate as one worker keeps it: its slots, and the tasks that wait for one. What is shared by all
// workers, and why the lane is shut, the ledger knows; the gate only passes on what it said.
//
// Slots begin at 1 after start-up and after every hold, and double with each round of successes, so that an API that
// has just come back is not met by everything that waited for it.
type gate struct {
	mu        sync.Mutex
	most      int
	slots     int
	used      int
	successes int // since the slots last grew
	until     time.Time
	timer     *time.Timer
	waiting   []chan struct{} // oldest first
}

func newGate(most int) *gate { return &gate{most: most, slots: 1} }

// enter waits for a slot, or for the end of the context.
func (g *gate) enter(ctx context.Context) error {
	turn := make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, turn)
	g.admit()
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return ctx.Err()
	}
	// Its turn came at the same moment: it is passed on.
	g.used--
	g.admit()
	return ctx.Err()
}

// leave gives a slot back. A success may make the slots grow.
func (g *gate) leave(success bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used--
	if success {
		g.successes++
		if g.successes >= g.slots {
			g.slots, g.successes = min(2*g.slots, g.most), 0
		}
	}
	g.admit()
}

// hold lets nobody in for this long, and then one at a time.
func (g *gate) hold(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots, g.successes = 1, 0
	if until := time.Now().Add(d); until.After(g.until) {
		g.until = until
		if g.timer != nil {
			g.timer.Stop()
		}
		g.timer = time.AfterFunc(d, g.wake)
	}
}

// close stops the gate's timer.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil {
		g.timer.Stop()
	}
}

func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admit()
}

// admit lets in who may. The caller holds the lock.
func (g *gate) admit() {
	for len(g.waiting) > 0 && g.used < g.slots && !time.Now().Before(g.until) {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.used++
	}
}
