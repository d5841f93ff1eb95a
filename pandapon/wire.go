package pandapon

import (
	"errors"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

// max1xx bounds the informational answers before the real one.
const max1xx = 32

// writerLag is how long a success waits for the writing goroutine to say that the last bytes have
// left. They mostly have: the answer may overtake the goroutine that is on its way back. Bytes
// that do not leave end this sooner, as net/http then closes the connection.
const writerLag = time.Second

// wire is a connection that remembers a failed write. net/http alone cannot say
// whether a request may have gone out whole: a write that failed in the end is
// reported only after an answer or an error has been returned, if at all.
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
	return n, err
}

// Close implements net.Conn.
func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
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
	body      *body
	wrote     chan error // of the writing goroutine, once it is through
	connected atomic.Bool
	wire      atomic.Pointer[wire]
	interims  atomic.Int64
	interim   atomic.Int64 // the last 1xx status, 0 without one
	early     atomic.Bool  // the answer began before the body had given its last bytes
}

func newProgress(b *body) *progress { return &progress{body: b, wrote: make(chan error, 1)} }

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// Of the body, the transport buffers nothing: each read is a write to the connection, and
		// this comes after the last one.
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			select {
			case p.wrote <- info.Err:
			default:
			}
		},
		GotFirstResponseByte: p.answered,
		GotConn: func(info httptrace.GotConnInfo) {
			p.connected.Store(true)
			if w := wireUnder(info.Conn); w != nil {
				w.serving.Store(true)
				p.wire.Store(w)
			}
		},
		Got1xxResponse: func(status int, _ textproto.MIMEHeader) error {
			p.interim.Store(int64(status))
			p.early.Store(false) // that was not the answer yet
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

// answered notes whether an answer that is just being read is early.
func (p *progress) answered() {
	if !p.body.finished.Load() {
		p.early.Store(true)
	}
}

// timely tells whether the answer began only after the request had left whole. It may wait for
// writerLag, and is to be asked once.
func (p *progress) timely() bool {
	if p.early.Load() {
		return false
	}
	lag := time.NewTimer(writerLag)
	defer lag.Stop()
	select {
	case err := <-p.wrote:
		return err == nil && p.unbroken()
	case <-lag.C:
		return false
	}
}
