package main

import (
	"slices"
	"sync"
	"time"

	"github.com/voucherd/voucherd/test/chaos/audit"
)

// absences are when something was away.
type absences struct {
	mu  sync.Mutex
	all []audit.Span
}

// whileAway does something during which, and for a while afterwards, it counts as away.
func (a *absences) whileAway(afterwards time.Duration, do func() error) error {
	a.mu.Lock()
	i := len(a.all)
	a.all = append(a.all, audit.Span{From: time.Now(), To: time.Now().Add(time.Hour)})
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all[i].To = time.Now().Add(afterwards)
	}()
	return do()
}

func (a *absences) spans() []audit.Span {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// awayAt says whether it was away at some time between these.
func (a *absences) awayAt(from, to time.Time) bool {
	return slices.ContainsFunc(a.spans(), func(s audit.Span) bool { return s.Overlaps(from, to) })
}
