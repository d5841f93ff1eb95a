package blob

import "sync"

// groupSync lets one sync of a directory serve all who ask for it while another runs. Its zero
// value is ready.
type groupSync struct {
	running sync.Mutex // held during a sync
	mu      sync.Mutex
	next    *syncRound // has not begun, so whoever asks may join
}

type syncRound struct {
	done chan struct{} // closed when err is set
	err  error
}

// do returns when a sync that began after the call has ended, its own or another caller's.
func (g *groupSync) do(sync func() error) error {
	g.mu.Lock()
	r, first := g.next, g.next == nil
	if first {
		r = &syncRound{done: make(chan struct{})}
		g.next = r
	}
	g.mu.Unlock()
	if first {
		g.running.Lock()
		g.mu.Lock()
		g.next = nil
		g.mu.Unlock()
		r.err = sync()
		g.running.Unlock()
		close(r.done)
	}
	<-r.done
	return r.err
}
