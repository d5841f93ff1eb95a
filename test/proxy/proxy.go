// Package proxy is a network that lies: it stands between a program and its Redis, or the API, and
// delays, holds, loses and cuts what passes. Loopback only.
package proxy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Fault is what a proxy does to all its connections. The zero value lets everything pass at once.
type Fault struct {
	Delay     time.Duration // every byte arrives so much later, in both directions
	Jitter    time.Duration // … and up to so much more; what was sent first still arrives first
	Hold      bool          // nothing arrives until the fault is over
	Silent    bool          // connections that carry something meanwhile are half-open from then on: dead, and nobody says so
	CutUp     int           // a connection ends when so many bytes have gone to the target; 0: never
	CutDown   int           // likewise of those that come back
	Reset     bool          // … and it ends with a reset
	SlowClose time.Duration // how much later one side learns that the other has ended
}

// Tap gives what looks on at one connection: what arrived at the target, and what came back. Each is
// closed once no more can come.
type Tap func() (up, down io.WriteCloser)

// Proxy passes connections on to a target. It is safe for concurrent use.
type Proxy struct {
	Addr string // host:port

	listener net.Listener
	target   string
	tap      Tap
	ctx      context.Context //nolint:containedctx // ends with the proxy, not with a call
	end      context.CancelFunc
	carriers sync.WaitGroup

	mu      sync.Mutex
	dead    int // connections
	fault   Fault
	changed chan struct{} // closed when there is another fault
}

// Listen starts a proxy. The tap may be nil.
func Listen(ctx context.Context, target string, tap Tap) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, target: target, tap: tap, changed: make(chan struct{})}
	p.ctx, p.end = context.WithCancel(ctx)
	p.carriers.Go(p.accept)
	return p, nil
}

// Close ends all connections.
func (p *Proxy) Close() error {
	p.end()
	err := p.listener.Close()
	p.carriers.Wait()
	return err
}

// Set puts a fault in the place of the one before.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
}

// Dead gives how many connections have become half-open.
func (p *Proxy) Dead() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// now gives the fault in force, and what is closed when it is over.
func (p *Proxy) now() (Fault, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

func (p *Proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.target)
		if err != nil {
			_ = near.Close() // the other side sees that the way ends here
			continue
		}
		l := &link{Proxy: p, ends: [2]net.Conn{near, far}, over: make(chan struct{})}
		up, down := io.WriteCloser(nil), io.WriteCloser(nil)
		if p.tap != nil {
			up, down = p.tap()
		}
		p.carriers.Go(l.watch)
		p.carriers.Go(func() { l.carry(far, near, true, up) })
		p.carriers.Go(func() { l.carry(near, far, false, down) })
	}
}

// link is one connection.
type link struct {
	*Proxy

	ends   [2]net.Conn
	once   sync.Once
	over   chan struct{}
	silent bool // half-open
}

// watch ends the connection with the proxy.
func (l *link) watch() {
	select {
	case <-l.ctx.Done():
		l.cut(false)
	case <-l.over:
	}
}

// cut ends the connection on both sides.
func (l *link) cut(reset bool) {
	l.once.Do(func() {
		close(l.over)
		for _, c := range l.ends {
			if tcp, ok := c.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0) // closing then resets
			}
			_ = c.Close() // nothing is left to lose
		}
	})
}

// dies says whether the connection is half-open, from now on if need be.
func (l *link) dies(now bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now && !l.silent {
		l.silent = true
		l.dead++
	}
	return l.silent
}

// wait lets time pass, unless the connection is over before.
func (l *link) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.over:
		return false
	}
}

// parcel is some bytes and when they arrive.
type parcel struct {
	bytes []byte
	at    time.Time
}

// read takes up what one side sends. It is apart from what writes, so that bytes that are on their
// way delay no others.
func (l *link) read(from net.Conn, road chan<- parcel) {
	defer close(road)
	buf := make([]byte, 64<<10)
	last := time.Time{}
	for {
		n, err := from.Read(buf)
		if n > 0 {
			f, _ := l.now()
			at := time.Now().Add(f.Delay)
			if f.Jitter > 0 {
				at = at.Add(rand.N(f.Jitter))
			}
			if at.Before(last) {
				at = last
			}
			last = at
			select {
			case road <- parcel{append([]byte(nil), buf[:n]...), at}:
			case <-l.over:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// carry moves bytes one way until one of the sides ends.
func (l *link) carry(to, from net.Conn, up bool, tap io.WriteCloser) {
	const onTheWay = 4096 // parcels
	road := make(chan parcel, onTheWay)
	l.carriers.Go(func() { l.read(from, road) })
	if tap != nil {
		defer tap.Close() //nolint:errcheck // it only looks on
	}
	var since chan struct{} // of the fault whose bytes are counted
	passed := 0
	for b := range road {
		if !l.wait(time.Until(b.at)) {
			return
		}
		f, changed := l.held()
		if l.dies(f.Silent) {
			continue
		}
		if changed != since {
			since, passed = changed, 0
		}
		most := f.CutDown
		if up {
			most = f.CutUp
		}
		last := most > 0 && passed+len(b.bytes) >= most
		if last {
			b.bytes = b.bytes[:most-passed]
		}
		n, err := to.Write(b.bytes)
		passed += n
		if tap != nil {
			_, _ = tap.Write(b.bytes[:n]) // it only looks on
		}
		if last || err != nil {
			l.cut(last && f.Reset)
			return
		}
	}
	if f, _ := l.now(); !l.dies(false) && l.wait(f.SlowClose) {
		l.cut(false)
	}
}

// held gives the fault in force, once it lets anything pass.
func (l *link) held() (Fault, chan struct{}) {
	for {
		f, changed := l.now()
		if !f.Hold {
			return f, changed
		}
		select {
		case <-changed:
		case <-l.over:
			return f, changed
		}
	}
}
