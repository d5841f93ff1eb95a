package simulation

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// stream carries bytes one way between two ends of a connection, in memory without a bound, as the
// buffers of two kernels and the wire between them do. Everything that waits, waits on channels of
// the bubble and not for a lock, so that the bubble's clock goes on.
type stream struct {
	mu      sync.Mutex
	data    bytes.Buffer
	held    bool // what was written does not arrive yet
	closed  bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// change alters the stream and wakes who waits.
func (s *stream) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// take gives what has arrived, or a channel to wait on.
func (s *stream) take(p []byte) (n int, wait chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.data.Len() > 0 && !s.held:
		n, err = s.data.Read(p)
		return n, nil, err
	case s.closed:
		return 0, nil, io.EOF
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return 0, s.changed, nil
}

// conn is one end of a connection.
type conn struct {
	in, out    *stream
	link       *link // nil: the server's end
	from       *link // of the server's end: whose call it is
	mu         sync.Mutex
	deadline   time.Time // for reading; writing never waits
	subscribed bool      // the client waits for messages
}

func newConns(l *link) (client, server *conn) {
	up, down := &stream{}, &stream{}
	return &conn{in: down, out: up, link: l}, &conn{in: up, out: down, from: l}
}

func (c *conn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		deadline := c.deadline
		c.mu.Unlock()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		n, wait, err := c.in.take(p)
		if wait == nil {
			return n, err
		}
		if deadline.IsZero() {
			<-wait
			continue
		}
		t := time.NewTimer(time.Until(deadline))
		select {
		case <-wait:
		case <-t.C:
		}
		t.Stop()
	}
}

func (c *conn) Write(p []byte) (n int, err error) {
	if c.link != nil && bytes.Contains(p, []byte("subscribe")) {
		c.mu.Lock()
		c.subscribed = true
		c.mu.Unlock()
	}
	c.out.change(func() {
		if c.out.closed {
			err = syscall.EPIPE
			return
		}
		n, err = c.out.data.Write(p)
	})
	return n, err
}

func (c *conn) Close() error {
	for _, s := range []*stream{c.in, c.out} {
		s.change(func() { s.closed = true })
	}
	if c.link != nil {
		c.link.forget(c)
	}
	return nil
}

// pingAfter is how long a subscription is silent before a simulated process asks whether it is there.
const pingAfter = time.Minute

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	if c.subscribed && time.Until(t) > 4*time.Second { // it waits for messages, and not for the answer to a ping
		t = time.Now().Add(pingAfter)
	}
	c.deadline = t
	c.mu.Unlock()
	c.in.change(func() {})
	return nil
}

func (c *conn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
func (c *conn) LocalAddr() net.Addr              { return loopback() }
func (c *conn) RemoteAddr() net.Addr             { return loopback() }
func loopback() net.Addr                         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// condition is how a link stands.
type condition int

const (
	up     condition = iota
	down             // nobody answers: connections are cut, and refused
	silent           // nothing arrives, either way
	deaf             // requests arrive, answers do not
)

// link is the network between one process and one server. Connections are made by accept.
type link struct {
	owner  string
	accept func(net.Conn) error

	mu    sync.Mutex
	now   condition
	ended bool          // its process is dead: it stays down
	turn  chan struct{} // closed when the condition changes
	conns map[*conn]struct{}
}

func newLink(owner string, accept func(net.Conn) error) *link {
	return &link{owner: owner, accept: accept, turn: make(chan struct{}), conns: map[*conn]struct{}{}}
}

// set changes how the link stands.
func (l *link) set(now condition) {
	l.mu.Lock()
	if l.ended {
		now = down
	}
	l.now = now
	close(l.turn)
	l.turn = make(chan struct{})
	var conns []*conn
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.in.change(func() { c.in.held = now == silent || now == deaf })
		c.out.change(func() { c.out.held = now == silent })
		if now == down {
			_ = c.Close() // never fails
		}
	}
}

// end takes the link down for good.
func (l *link) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.set(down)
}

// is gives how the link stands.
func (l *link) is() condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

const connectLimit = 2 * time.Second

// dial connects.
func (l *link) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	t := time.NewTimer(connectLimit)
	defer t.Stop()
	for {
		l.mu.Lock()
		now, turn := l.now, l.turn
		var ours, theirs *conn
		if now == up {
			ours, theirs = newConns(l)
			l.conns[ours] = struct{}{}
		}
		l.mu.Unlock()
		switch now {
		case up:
			return ours, l.accept(theirs)
		case down:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		case silent, deaf:
		}
		select {
		case <-turn:
		case <-t.C:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *link) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// listener hands connections to a server of net/http.
type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newListener() *listener { return &listener{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *listener) take(c net.Conn) error {
	select {
	case l.conns <- c:
		return nil
	case <-l.done:
		return net.ErrClosed
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return loopback() }
