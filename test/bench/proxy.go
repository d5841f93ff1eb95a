package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// proxy stands between a system and its Redis and makes the way longer: every byte arrives half of
// the delay later, in both directions, however many are on their way.
type proxy struct {
	net.Listener

	target string
	delay  time.Duration // of one way
}

func newProxy(ctx context.Context, target string, delay time.Duration) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &proxy{Listener: l, target: target, delay: delay / 2}
	go p.accept(ctx)
	return p, nil
}

func (p *proxy) accept(ctx context.Context) {
	for {
		near, err := p.Accept()
		if err != nil {
			return
		}
		far, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
		if err != nil {
			_ = near.Close() // the other side sees that the way ends here
			continue
		}
		go p.carry(ctx, far, near)
		go p.carry(ctx, near, far)
	}
}

// parcel is some bytes and when they arrive.
type parcel struct {
	bytes []byte
	at    time.Time
}

// carry moves bytes one way. Its two halves are apart, so that bytes that are on their way delay no
// others.
func (p *proxy) carry(ctx context.Context, to, from net.Conn) {
	const onTheWay = 4096 // parcels
	road := make(chan parcel, onTheWay)
	go func() {
		defer close(road)
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				road <- parcel{bytes: append([]byte(nil), buf[:n]...), at: time.Now().Add(p.delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	var err error
	for b := range road { // to its end, so that the other half always comes to its own
		if err == nil && process.Sleep(ctx, time.Until(b.at)) {
			_, err = to.Write(b.bytes)
		}
	}
	_ = to.Close() // the end is passed on
}
