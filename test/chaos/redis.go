package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/test/chaos/audit"
)

// redisServer is a real redis-server with an append-only file, which can be treated badly.
type redisServer struct {
	addr string

	mu   sync.Mutex
	dir  string
	proc *child
	away []audit.Span // when it was killed or paused
}

const redisLimit = 20 * time.Second // for starting, with a large file on a busy machine

// startRedis starts one on a free port of the loopback interface.
func startRedis(ctx context.Context, dir string, args ...string) (*redisServer, error) {
	const tries, lowest, beyond = 20, 15000, 32000 // below the ports of outgoing connections
	var err error
	for range tries {
		port := lowest + rand.IntN(beyond-lowest)
		l, lerr := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if lerr != nil {
			err = lerr
			continue
		}
		s := &redisServer{dir: dir, addr: l.Addr().String()}
		if err = errors.Join(l.Close(), s.start(ctx, args...)); err == nil {
			return s, nil
		}
		s.kill()
	}
	return nil, fmt.Errorf("start redis: %w", err)
}

func (s *redisServer) url() string { return "redis://" + s.addr + "/0" }

func (s *redisServer) start(ctx context.Context, args ...string) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not on PATH: `make chaos` installs it, or install the package redis-server")
	}
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return fmt.Errorf("address of redis: %w", err)
	}
	proc, err := spawn(program{name: "redis", path: path, dir: s.dir, args: append([]string{
		"--bind", host, "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
		"--maxmemory-policy", "noeviction", "--loglevel", "notice", "--daemonize", "no", "--repl-diskless-sync-delay", "0",
	}, args...)})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = proc
	s.mu.Unlock()
	rdb := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	defer rdb.Close() //nolint:errcheck // nothing is left to lose
	return until(ctx, redisLimit, "redis answers", func() bool {
		info, err := rdb.Info(ctx, "server").Result()
		ours := strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", proc.proc.Pid))
		return err == nil && ours && errors.Is(rdb.Get(ctx, "chaos").Err(), redis.Nil) // it loads its file first
	})
}

// restart kills the server, lets a while pass, and starts it again.
func (s *redisServer) restart(ctx context.Context, after time.Duration) error {
	s.leave()
	defer s.back()
	s.kill()
	if !sleep(ctx, after) {
		return nil
	}
	return s.start(ctx)
}

// failOver lets a replica take the server's place that lacks the writes of the last while. Replication is asynchronous:
// a master tells its clients that a write is done before any replica has it.
func (s *redisServer) failOver(ctx context.Context, lacking time.Duration) (l audit.Loss, err error) {
	dir, err := os.MkdirTemp(s.dir, "replica-")
	if err != nil {
		return l, fmt.Errorf("make a directory for a replica: %w", err)
	}
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return l, fmt.Errorf("address of redis: %w", err)
	}
	replica, err := startRedis(ctx, dir, "--replicaof", host+" "+port)
	if err != nil {
		return l, err
	}
	rdb := redis.NewClient(&redis.Options{Addr: replica.addr, MaxRetries: -1})
	defer rdb.Close() //nolint:errcheck // nothing is left to lose
	if err := until(ctx, redisLimit, "a replica follows", func() bool {
		return strings.Contains(rdb.Info(ctx, "replication").Val(), "master_link_status:up\r\n")
	}); err != nil {
		replica.kill()
		return l, err
	}
	l.From = time.Now()
	if err := rdb.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		replica.kill()
		return l, fmt.Errorf("cut replication: %w", err)
	}
	sleep(ctx, lacking)
	s.leave()
	defer s.back()
	s.kill()
	l.Gone = time.Now()
	s.mu.Lock()
	s.dir, s.proc = dir, replica.proc
	s.mu.Unlock()
	// It takes the port as it would a floating address.
	if err := rdb.ConfigSet(ctx, "port", port).Err(); err != nil {
		return l, fmt.Errorf("give the replica its master's port, which needs Redis 6.2: %w", err)
	}
	return l, nil
}

// pause stops the server for a while without closing its connections.
func (s *redisServer) pause(ctx context.Context, d time.Duration) error {
	s.leave()
	defer s.back()
	if err := s.proc.proc.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause redis: %w", err)
	}
	sleep(ctx, d)
	if err := s.proc.proc.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("resume redis: %w", err)
	}
	return nil
}

// leave notes that the server is away from now on, and back that it is there again.
func (s *redisServer) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = append(s.away, audit.Span{From: time.Now(), To: time.Now().Add(time.Hour)})
}

func (s *redisServer) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away[len(s.away)-1].To = time.Now()
}

// absences gives the times when the server was away.
func (s *redisServer) absences() []audit.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.away)
}

// awayAt says whether the server was away at some time between these.
func (s *redisServer) awayAt(from, to time.Time) bool {
	return slices.ContainsFunc(s.absences(), func(a audit.Span) bool { return a.From.Before(to) && from.Before(a.To) })
}

// kill ends the server at once, if it runs.
func (s *redisServer) kill() {
	s.mu.Lock()
	proc := s.proc
	s.mu.Unlock()
	if proc != nil {
		proc.kill()
	}
}
