package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/proxy"
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

// dial gives a connection to an echo, and the proxy between.
func dial(t *testing.T, f proxy.Fault) (*proxy.Proxy, net.Conn) {
	t.Helper()
	p, err := proxy.Listen(t.Context(), echo(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	p.Set(f)
	return p, connect(t, p)
}

func connect(t *testing.T, p *proxy.Proxy) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestDelaysWithoutQueueing(t *testing.T) {
	t.Parallel()
	const oneWay, times = 30 * time.Millisecond, 100
	_, conn := dial(t, proxy.Fault{Delay: oneWay, Jitter: oneWay})
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
	if took := time.Since(began); took < 2*oneWay || took > times*oneWay {
		t.Errorf("it took %v, want little more than %v", took, 2*oneWay)
	}
	if !bytes.Equal(got, sent.Bytes()) {
		t.Errorf("got %v, want %v", got, sent.Bytes())
	}
}

// passes says whether a byte comes back within a moment.
func passes(t *testing.T, conn net.Conn) error {
	t.Helper()
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

func TestHoldsAndLetsPass(t *testing.T) {
	t.Parallel()
	p, conn := dial(t, proxy.Fault{Hold: true})
	if err := passes(t, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("held: %v", err)
	}
	p.Set(proxy.Fault{})
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Errorf("what was held did not arrive: %v", err)
	}
}

func TestHalfOpenStaysSo(t *testing.T) {
	t.Parallel()
	p, conn := dial(t, proxy.Fault{Silent: true})
	for range 2 {
		if err := passes(t, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("half-open: %v", err)
		}
		if err := process.Until(t.Context(), 10*time.Second, "the connection is half-open", func() bool { return p.Dead() == 1 }); err != nil {
			t.Fatal(err)
		}
		p.Set(proxy.Fault{})
	}
}

// tape is what a tap saw of one direction.
type tape struct {
	bytes.Buffer

	closed chan struct{}
}

func (t *tape) Close() error { close(t.closed); return nil }

func TestCutsAfterBytes(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]proxy.Fault{"up": {CutUp: 5}, "down": {CutDown: 5}, "reset": {CutDown: 5, Reset: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up, down := &tape{closed: make(chan struct{})}, &tape{closed: make(chan struct{})}
			p, err := proxy.Listen(t.Context(), echo(t), func() (io.WriteCloser, io.WriteCloser) { return up, down })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })
			p.Set(f)
			conn := connect(t, p)
			if _, err = conn.Write([]byte("0123456789")); err != nil {
				t.Fatal(err)
			}
			if err = conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err = io.ReadAll(conn); f.Reset != errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the connection ended with %v", err)
			}
			<-up.closed
			<-down.closed
			cut := up
			if f.CutDown > 0 {
				cut = down
			}
			if cut.String() != "01234" {
				t.Errorf("%q passed, want the first five bytes", cut)
			}
		})
	}
}

func TestSlowCloseComesLater(t *testing.T) {
	t.Parallel()
	const later = 50 * time.Millisecond
	_, conn := dial(t, proxy.Fault{SlowClose: later})
	began := time.Now()
	if tcp, ok := conn.(*net.TCPConn); !ok || tcp.CloseWrite() != nil {
		t.Fatal("the connection cannot be closed")
	}
	if _, err := io.ReadAll(conn); err != nil || time.Since(began) < later {
		t.Errorf("closed after %v: %v", time.Since(began), err)
	}
}
