package history_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// cut is where a connection ends while a call is under way.
type cut int

const (
	nowhere     cut = iota
	beforeCall      // nothing of it is sent
	withinCall      // half of it
	beforeReply     // all of it, and nobody waits for the reply
	afterReply      // Redis has answered, and the reply gets lost
	cuts
)

// wire is what lies between one client and Redis. The client makes one call at a time.
type wire struct {
	mu    sync.Mutex
	next  cut   // of the next call
	calls []try // more than one when go-redis tried again
}

// try is one time that a call was written.
type try struct {
	at    time.Time
	cut   cut
	back  time.Time // when its reply came and got lost
	reply []byte    // how that begins
}

// arm says what happens to the next call, and forgets those before.
func (w *wire) arm(c cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next, w.calls = c, nil
}

// tries gives each time that the call was written.
func (w *wire) tries() []try {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

// client makes a client over the wire. Retries is how often go-redis makes a call again whose reply
// was lost; -1: never.
func (w *wire) client(addr string, retries int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, PoolSize: 1, MaxRetries: retries, MinRetryBackoff: -1, MaxRetryBackoff: -1, DisableIdentity: true,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &frail{Conn: conn, wire: w}, err
		},
	})
}

// frail is a connection that ends as the wire has it.
type frail struct {
	net.Conn

	wire *wire
	deaf bool // what comes is lost
}

// Write sends a command; a script's call is what gets cut.
func (f *frail) Write(b []byte) (int, error) {
	if !bytes.Contains(bytes.ToLower(b[:min(len(b), 64)]), []byte("evalsha")) {
		return f.Conn.Write(b)
	}
	f.wire.mu.Lock()
	where := f.wire.next
	f.wire.next = nowhere
	f.wire.calls = append(f.wire.calls, try{at: time.Now(), cut: where})
	f.wire.mu.Unlock()
	switch where {
	case beforeCall:
		b = nil
	case withinCall:
		b = b[:len(b)/2]
	case afterReply:
		f.deaf = true
	case nowhere, beforeReply, cuts:
	}
	n, err := f.Conn.Write(b)
	if where == nowhere || where == afterReply || err != nil {
		return n, err
	}
	return n, f.cut()
}

func (f *frail) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if !f.deaf || err != nil {
		return n, err
	}
	f.wire.mu.Lock()
	last := &f.wire.calls[len(f.wire.calls)-1]
	last.back, last.reply = time.Now(), bytes.Clone(b[:min(n, 64)])
	f.wire.mu.Unlock()
	return 0, f.cut()
}

// cut ends the connection as a network does that loses it.
func (f *frail) cut() error {
	_ = f.Close() // nothing is left to lose
	return io.ErrUnexpectedEOF
}
