package redisconn_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/test/redistest"
)

// tap stands before a server and keeps what clients say to it.
type tap struct {
	net.Listener

	mu   sync.Mutex
	said bytes.Buffer
	all  sync.WaitGroup
}

// listen opens a tap; it passes nothing on before to is called.
func listen(t *testing.T) *tap {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tp := &tap{Listener: l}
	t.Cleanup(func() { _ = l.Close(); tp.all.Wait() })
	return tp
}

func (p *tap) port() string { _, port, _ := net.SplitHostPort(p.Addr().String()); return port }

// to passes on to a server.
func (p *tap) to(server string) {
	p.all.Go(func() {
		for {
			in, err := p.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server) //nolint:noctx // the server is a test's own, and near
			if err != nil {
				_ = in.Close()
				continue
			}
			p.all.Go(func() { _, _ = io.Copy(out, io.TeeReader(in, p)); _ = out.Close() })
			p.all.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
}

// Write keeps a part of what was said.
func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

// quiet asserts that a client said something, and nothing that Redis 7.0 does not know.
func (p *tap) quiet(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	said := strings.ToLower(p.said.String())
	if !strings.Contains(said, "hello") {
		t.Errorf("a client said only %q", said)
	}
	for _, word := range []string{"setinfo", "maint_notifications"} {
		if strings.Contains(said, word) {
			t.Errorf("a client said %s", word)
		}
	}
}

// ping opens a URL and waits until Redis answers.
func ping(t *testing.T, url string) {
	t.Helper()
	rdb, err := redisconn.Open(url, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for err = rdb.Set(t.Context(), "k", "v", 0).Err(); err != nil; err = rdb.Set(t.Context(), "k", "v", 0).Err() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal(err)
		}
	}
}

// TestClientsSayNothingExtra connects to a single Redis, through a sentinel, and to a cluster.
func TestClientsSayNothingExtra(t *testing.T) {
	t.Parallel()
	t.Run("single", func(t *testing.T) {
		t.Parallel()
		p := listen(t)
		p.to(redistest.Start(t, redistest.Options{}).Addr)
		ping(t, "redis://"+p.Addr().String())
		p.quiet(t)
	})
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		master, sentinel := listen(t), listen(t)
		master.to(redistest.Start(t, redistest.Options{}).Addr)
		sentinel.to(redistest.Start(t, redistest.Options{
			Config: "sentinel monitor vouchers 127.0.0.1 " + master.port() + " 1\n", Args: []string{"--sentinel"},
		}).Addr)
		ping(t, "redis://"+sentinel.Addr().String()+"?master_name=vouchers")
		sentinel.quiet(t)
		master.quiet(t)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		p := listen(t)
		s := redistest.Start(t, redistest.Options{
			Args: []string{"--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", p.port()},
		})
		node := redis.NewClient(&redis.Options{Addr: s.Addr})
		t.Cleanup(func() { _ = node.Close() })
		if err := node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
			t.Fatal(err)
		}
		p.to(s.Addr)
		ping(t, "redis://"+p.Addr().String()+"?addr="+p.Addr().String())
		p.quiet(t)
	})
}
