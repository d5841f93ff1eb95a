package sandbox

import (
	"sync"
	"time"
)

// nonceMemory remembers nonces for at least keep and at most twice as long, in two generations, so
// that a long run does not grow it without end.
type nonceMemory struct {
	keep time.Duration

	mu       sync.Mutex
	turnAt   time.Time
	current  map[string]struct{}
	previous map[string]struct{}
}

func newNonceMemory(keep time.Duration) *nonceMemory {
	return &nonceMemory{keep: keep, current: map[string]struct{}{}}
}

// fresh remembers nonce and says whether it was unknown.
func (m *nonceMemory) fresh(nonce string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !now.Before(m.turnAt) {
		m.previous, m.current = m.current, map[string]struct{}{}
		m.turnAt = now.Add(m.keep)
	}
	_, known := m.current[nonce]
	if !known {
		_, known = m.previous[nonce]
	}
	m.current[nonce] = struct{}{}
	return !known
}
