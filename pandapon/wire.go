package pandapon

import (
	"errors"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
)

// max1xx bounds the informational answers before the real one.
const max1xx = 32

// wire is a connection that remembers a failed write. net/http alone cannot say
// whether a request went out whole: it reports it as written before the last
// flush.
type wire struct {
	net.Conn

	failed  atomic.Bool // a write failed: the kernel has not taken every byte
	serving atomic.Bool // requests are under way; TLS and proxies are done with
	once    sync.Once
	closed  chan struct{}
}

func newWire(conn net.Conn) *wire { return &wire{Conn: conn, closed: make(chan struct{})} }

// Write holds a failure back until the connection is closed. A server that
// answers early and hangs up (413, 401) breaks our writing while its answer lies
// in the receive buffer; the transport would drop that answer on the write
// error. The reading side sees the same end a moment later, and closes.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil {
		w.failed.Store(true)
		if w.serving.Load() {
			<-w.closed
		}
	}
	return n, err //nolint:wrapcheck // net/http looks at it as it is
}

// Close implements net.Conn.
func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close() //nolint:wrapcheck // net/http looks at it as it is
}

// wireUnder finds the wire below TLS, the proxy's and the server's.
func wireUnder(conn net.Conn) *wire {
	for {
		switch c := conn.(type) {
		case *wire:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// progress is what was seen of one request on its way.
type progress struct {
	connected atomic.Bool
	wire      atomic.Pointer[wire]
	interims  atomic.Int64
	interim   atomic.Int64 // the last 1xx status, 0 without one
}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			p.connected.Store(true)
			if w := wireUnder(info.Conn); w != nil {
				w.serving.Store(true)
				p.wire.Store(w)
			}
		},
		Got1xxResponse: func(status int, _ textproto.MIMEHeader) error {
			p.interim.Store(int64(status))
			if p.interims.Add(1) > max1xx {
				return errors.New("too many informational answers")
			}
			return nil
		},
	}
}

// unbroken tells whether there was a connection that took all it was given. In
// doubt it says yes: "may have arrived" is never a lie.
func (p *progress) unbroken() bool {
	w := p.wire.Load()
	return p.connected.Load() && (w == nil || !w.failed.Load())
}
