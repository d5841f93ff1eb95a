package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers every byte with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	}()
	return l.Addr().String()
}

func TestProxyDelaysWithoutQueueing(t *testing.T) {
	t.Parallel()
	const delay, times = 60 * time.Millisecond, 100
	p, err := newProxy(t.Context(), echo(t), delay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is left to lose
	began := time.Now()
	var sent bytes.Buffer
	for i := range times {
		sent.WriteByte(byte(i))
		if _, err := conn.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, times)
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < delay || took > times*delay/2 {
		t.Errorf("it took %v, want little more than %v", took, delay)
	}
	if !bytes.Equal(got, sent.Bytes()) {
		t.Errorf("got %v, want %v", got, sent.Bytes())
	}
}
