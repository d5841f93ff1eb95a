// Package redistest gives tests a real redis-server of their own, on a free loopback port, without
// touching any other Redis on the machine.
//
// A test binary starts one shared server in TestMain; parallel tests keep apart by account names:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
//
//	func TestX(t *testing.T) {
//		t.Parallel()
//		rdb, account := redistest.Client(t), redistest.Account(t)
//		...
//	}
//
// A test that kills, stops or fills its Redis takes a server of its own with Start. Servers end
// with the test binary, on Linux also when it panics or is killed.
package redistest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/voucherd/voucherd/test/process"
)

//nolint:gochecknoglobals // One server for the whole test binary is what this package is for.
var (
	shared   atomic.Pointer[process.Redis]
	accounts atomic.Int64
)

// Main starts the shared server, runs the tests, stops the server and returns the exit code for
// os.Exit. A goroutine that is left when the tests have passed fails the run.
func Main(m *testing.M) int {
	code, err := run(m)
	if err == nil && code == 0 {
		// go-redis ends it within a second after its client was closed.
		err = goleak.Find(goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "redistest:", err)
		return 1
	}
	return code
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		return 1, fmt.Errorf("make a directory for redis: %w", err)
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); err == nil && rmErr != nil {
			err = rmErr
		}
	}()
	p, err := process.StartRedis(context.Background(), process.RedisOptions{Dir: dir})
	if err != nil {
		return 1, err
	}
	defer p.Kill()
	shared.Store(p)
	return m.Run(), nil
}

// Client returns a client of the shared server, closed when the test ends.
func Client(tb testing.TB) *redis.Client {
	tb.Helper()
	return client(tb, mustShared(tb))
}

// URL is the shared server's address as redis://host:port/0. It is empty without Main.
func URL() string {
	if p := shared.Load(); p != nil {
		return p.URL()
	}
	return ""
}

// Account returns an account name that no other call in this test binary gets. It matches
// [a-z0-9-]{1,32} and begins with a part of the test's name.
func Account(tb testing.TB) string {
	tb.Helper()
	const longest = 32
	suffix := "-" + strconv.FormatInt(accounts.Add(1), 36)
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, strings.TrimPrefix(tb.Name(), "Test"))
	return name[:min(len(name), longest-len(suffix))] + suffix
}

func mustShared(tb testing.TB) *process.Redis {
	tb.Helper()
	p := shared.Load()
	if p == nil {
		tb.Fatal("redistest: no shared server; write func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }")
	}
	return p
}

func client(tb testing.TB, p *process.Redis) *redis.Client {
	tb.Helper()
	c := p.Client()
	tb.Cleanup(func() { _ = c.Close() })
	return c
}
