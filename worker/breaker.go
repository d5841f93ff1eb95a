package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// breaker is an account's breaker as one worker keeps it: its slots, and the tasks that wait for one. What is shared by all
// workers, and why the account is shut, the ledger knows; the breaker only passes on what it said.
//
// Slots begin at 1 after start-up and after every hold, and double with each round of successes, so that an API that
// has just come back is not met by everything that waited for it.
type breaker struct {
	mu        sync.Mutex
	most      int
	slots     int
	used      int
	successes int // since the slots last grew
	until     time.Time
	timer     *time.Timer
	waiting   []chan struct{} // oldest first
}

func newBreaker(most int) *breaker { return &breaker{most: most, slots: 1} }

// errWaited means that a task's turn did not come: the account stops, the task's context has ended, or it has waited long
// enough to go round through the queue once more.
var errWaited = errors.New("waited for the account")

// enter waits for a slot, until stop is closed, the context ends or the limit is over.
func (g *breaker) enter(ctx context.Context, stop <-chan struct{}, limit time.Duration) error {
	g.mu.Lock()
	if len(g.waiting) == 0 && g.free() {
		g.used++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.admit()
	g.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	case <-stop:
	case <-timer.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return errWaited
	}
	// Its turn came at the same moment: it is passed on.
	g.used--
	g.admit()
	return errWaited
}

// leave gives a slot back. A success may make the slots grow.
func (g *breaker) leave(success bool) {
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
func (g *breaker) hold(d time.Duration) {
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

// close stops the breaker's timer.
func (g *breaker) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil {
		g.timer.Stop()
	}
}

func (g *breaker) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admit()
}

// admit lets in who may. The caller holds the lock.
func (g *breaker) admit() {
	for len(g.waiting) > 0 && g.free() {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.used++
	}
}

// free says whether a slot can be taken now. The caller holds the lock.
func (g *breaker) free() bool { return g.used < g.slots && !time.Now().Before(g.until) }
