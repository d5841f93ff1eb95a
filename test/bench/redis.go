package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisRole keeps a redis-server, and ends it when the benchmark ends, however that happens.
type redisRole struct {
	addr string
	cmd  *exec.Cmd
	done chan struct{}
}

func newRedisRole(ctx context.Context, s spec) (*redisRole, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not on PATH: `make bench` installs it, or install the package redis-server")
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("look for a free port: %w", err)
	}
	addr := l.Addr().String()
	if err = l.Close(); err != nil {
		return nil, fmt.Errorf("look for a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("look for a free port: %w", err)
	}
	// As operators run it, but for rewriting the append-only file, which would fall into some measurements only.
	cmd := exec.CommandContext(ctx, path, "--bind", "127.0.0.1", "--port", port, "--dir", s.Dir, //nolint:gosec // found on PATH, as the user wants
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0",
		"--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", filepath.Join(s.Dir, "redis.log"))
	cmd.Dir, cmd.Stderr = s.Dir, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	r := &redisRole{addr: addr, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		_ = cmd.Wait() // its log says why it ended
	}()
	return r, nil
}

func (r *redisRole) url() string { return "redis://" + r.addr + "/0" }

func (*redisRole) do(context.Context, order) (reply, error) { return reply{}, errOrder }

func (r *redisRole) close() error {
	_ = r.cmd.Process.Kill() // the only error is that it has ended
	<-r.done
	return nil
}

// server is the parent's view of a Redis server.
type server struct {
	child *child
	url   string
	dir   string
	rdb   *redis.Client
}

func startRedis(ctx context.Context, dir, name string) (*server, error) {
	own := filepath.Join(dir, name)
	if err := os.MkdirAll(own, 0o700); err != nil { //nolint:gosec // in our own directory
		return nil, fmt.Errorf("make a directory for redis: %w", err)
	}
	c, ready, err := spawn(ctx, dir, name, spec{Role: roleRedis, Dir: own})
	if err != nil {
		return nil, err
	}
	s := &server{child: c, url: ready.URL, dir: own}
	s.rdb = redis.NewClient(&redis.Options{
		Addr: strings.TrimSuffix(strings.TrimPrefix(ready.URL, "redis://"), "/0"), ReadTimeout: time.Minute,
	})
	for err = s.rdb.Ping(ctx).Err(); err != nil; err = s.rdb.Ping(ctx).Err() {
		if serr := sleep(ctx, 20*time.Millisecond); serr != nil {
			return nil, errors.Join(err, serr, s.close())
		}
	}
	return s, nil
}

func (s *server) close() error {
	return errors.Join(s.rdb.Close(), s.child.stop(), os.RemoveAll(s.dir)) //nolint:gosec // our own directory
}

// clear empties the server, and its append-only file when it has grown.
func (s *server) clear(ctx context.Context) error {
	if err := s.rdb.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty redis: %w", err)
	}
	info, err := s.info(ctx)
	if err != nil || info["aof_current_size"] < 1<<30 {
		return err
	}
	if err := s.rdb.BgRewriteAOF(ctx).Err(); err != nil {
		return fmt.Errorf("shorten redis' append-only file: %w", err)
	}
	for {
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		info, err := s.info(ctx)
		if err != nil || info["aof_rewrite_in_progress"]+info["aof_rewrite_scheduled"] == 0 {
			return err
		}
	}
}

// freed waits until Redis has given back the memory of what was deleted, which it does behind the back of its clients.
func (s *server) freed(ctx context.Context) error {
	for began := time.Now(); time.Since(began) < settleLimit; {
		info, err := s.info(ctx)
		if err != nil || info["lazyfree_pending_objects"] == 0 {
			return err
		}
		if err := sleep(ctx, settleEvery); err != nil {
			return err
		}
	}
	return nil
}
