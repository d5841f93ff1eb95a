package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// slots are how many attempts of an account one worker makes at a time, and the tasks that wait for
// one. The circuit breaker, which all workers share, is the ledger's; slots only keep everyone
// waiting for as long as it said.
//
// Slots begin at 1 after start-up and after every hold, and double with each round of successes, so
// that an API that has just come back is not met by everything that waited for it.
type slots struct {
	mu        sync.Mutex
	most      int
	paced     bool // the account has a rate: one task at a time asks for its turn
	asking    bool // one does
	size      int
	used      int
	successes int // since the slots last grew
	until     time.Time
	timer     *time.Timer
	waiting   []chan struct{} // oldest first
	changed   chan struct{}   // holds one: a slot may have become free, or a hold begun
}

func newSlots(most int, paced bool) *slots {
	return &slots{most: most, paced: paced, size: 1, changed: make(chan struct{}, 1)}
}

// errWaited means that a task's turn did not come: the account stops, the task's context has ended,
// or it has waited long enough to go round through the queue once more.
var errWaited = errors.New("waited for the account")

// enter waits for a slot, until stop is closed, the context ends or the limit is over.
func (s *slots) enter(ctx context.Context, stop <-chan struct{}, limit time.Duration) error {
	select {
	case <-stop:
		return errWaited
	default:
	}
	s.mu.Lock()
	if len(s.waiting) == 0 && s.free() {
		s.take()
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	s.admit()
	s.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	case <-stop:
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, turn); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		s.change()
		return errWaited
	}
	// Its turn came at the same moment: it is passed on.
	s.used--
	s.asking = false
	s.admit()
	s.change()
	return errWaited
}

// asked lets the next task ask for its turn, where the account has a rate.
func (s *slots) asked() {
	if !s.paced {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = false
	s.admit()
	s.change()
}

// leave gives a slot back. A success may make the slots grow.
func (s *slots) leave(success bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if success {
		s.successes++
		if s.successes >= s.size {
			s.size, s.successes = min(2*s.size, s.most), 0
		}
	}
	s.admit()
	s.change()
}

// change tells who waits until the slots are no longer full.
func (s *slots) change() {
	select {
	case s.changed <- struct{}{}:
	default: // it is told already
	}
}

// hold lets nobody in for this long, and then one at a time.
func (s *slots) hold(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size, s.successes = 1, 0
	if until := time.Now().Add(d); until.After(s.until) {
		s.until = until
		if s.timer != nil {
			s.timer.Stop()
		}
		s.timer = time.AfterFunc(d, s.wake)
	}
	s.change()
}

// release ends a hold.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Time{}
	s.admit()
	s.change()
}

// close stops the timer.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *slots) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admit()
}

// admit lets in who may. The caller holds the lock.
func (s *slots) admit() {
	for len(s.waiting) > 0 && s.free() {
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
		s.take()
	}
}

// take takes a slot. The caller holds the lock.
func (s *slots) take() {
	s.used++
	s.asking = s.paced
}

// open counts the slots that a task could take now.
func (s *slots) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.free() {
		return 0
	}
	return s.room()
}

// room counts the tasks that need not wait for another, should no hold last: for its end, or, where
// there is a rate, until that one has had its turn. The caller holds the lock.
func (s *slots) room() int {
	n := s.size - s.used - len(s.waiting)
	if s.paced && (s.asking || len(s.waiting) > 0) {
		return 0
	} else if s.paced {
		return min(1, n)
	}
	return n
}

// full says that a task would wait for another. While a hold lasts it would not: some tasks wait for
// it to end, so that one of them can ask whether the account is well.
func (s *slots) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !time.Now().Before(s.until) && s.room() <= 0
}

// free says whether a slot can be taken now. The caller holds the lock.
func (s *slots) free() bool {
	return s.used < s.size && !s.asking && !time.Now().Before(s.until)
}
