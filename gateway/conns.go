package gateway

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// conns is a listener that keeps a bounded number of connections. When there are too many it closes
// the one that has been quiet for longest: whoever only holds connections makes room for those who
// ask something.
type conns struct {
	net.Listener

	most   int
	mu     sync.Mutex
	room   *sync.Cond
	count  int
	quiet  *list.List // of *conn: without a request in a handler, longest first
	closed bool
}

func limitConns(l net.Listener, most int) *conns {
	c := &conns{Listener: l, most: most, quiet: list.New()}
	c.room = sync.NewCond(&c.mu)
	return c
}

// Accept waits for a connection, and for room for it when all there are have requests.
func (c *conns) Accept() (net.Conn, error) {
	raw, err := c.Listener.Accept()
	if err != nil {
		return nil, err // http.Server looks at it
	}
	k := &conn{Conn: raw, all: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.count >= c.most && !c.closed {
		if oldest := c.quiet.Front(); oldest != nil {
			if victim, ok := oldest.Value.(*conn); ok {
				victim.drop()
				_ = victim.Conn.Close() // nobody listens
			}
			continue
		}
		c.room.Wait()
	}
	c.count++
	k.place = c.quiet.PushBack(k)
	return k, nil
}

// Close ends Accept.
func (c *conns) Close() error {
	c.mu.Lock()
	c.closed = true
	c.room.Broadcast()
	c.mu.Unlock()
	return c.Listener.Close() // http.Server looks at it
}

// conn is one connection.
type conn struct {
	net.Conn

	all   *conns
	busy  int           // requests in a handler
	place *list.Element // among the quiet ones; nil: busy, or gone
	gone  bool
}

// enter says that a request has come whole, but its body.
func (k *conn) enter() {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	k.busy++
	if k.place != nil {
		k.all.quiet.Remove(k.place)
		k.place = nil
	}
}

// leave says that it was answered.
func (k *conn) leave() {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	if k.busy--; k.busy == 0 && !k.gone {
		k.place = k.all.quiet.PushBack(k)
		k.all.room.Signal() // it may be closed for another
	}
}

// Close closes the connection and makes its place free.
func (k *conn) Close() error {
	k.all.mu.Lock()
	k.drop()
	k.all.mu.Unlock()
	return k.Conn.Close() // http.Server looks at it
}

// drop takes the connection off the books. The lock is held.
func (k *conn) drop() {
	if k.gone {
		return
	}
	k.gone = true
	if k.place != nil {
		k.all.quiet.Remove(k.place)
		k.place = nil
	}
	k.all.count--
	k.all.room.Signal()
}

type connKey struct{}

// connContext lets requests find their connection.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if k, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, k)
	}
	return ctx
}
