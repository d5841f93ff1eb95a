package blob

import "sync"

// groupSync lets one sync of a directory serve all who ask for it while another runs. Its zero
// value is ready.
type groupSync struct {
	mu   sync.Mutex
	last *syncRound // the last that has begun
	next *syncRound // has not begun, so whoever asks may join
}

type syncRound struct {
	done chan struct{} // closed when err is set
	err  error
}

// do returns when a sync that began after the call has ended, its own or another caller's.
func (g *groupSync) do(sync func() error) error {
	g.mu.Lock()
	if r := g.next; r != nil {
		g.mu.Unlock()
		<-r.done
		return r.err
	}
	r, last := &syncRound{done: make(chan struct{})}, g.last
	g.next = r
	g.mu.Unlock()
	if last != nil {
		<-last.done
	}
	g.mu.Lock()
	g.last, g.next = r, nil
	g.mu.Unlock()
	r.err = sync()
	close(r.done)
	return r.err
}
