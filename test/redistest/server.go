package redistest

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/test/process"
)

// Options choose what a server of a test's own is like. The zero value keeps everything in memory,
// without a limit or a password.
type Options struct {
	AOF       bool     // append-only file, fsync always: survives Kill and Restart
	MaxMemory string   // as in redis.conf ("3mb"), policy noeviction; empty = no limit
	Password  string   // requirepass
	Args      []string // further redis-server arguments: "--hz", "100"
	Config    string   // what a configuration file holds, which "--sentinel" must have; empty = no file
}

// Server is one redis-server that a test may treat badly. Its methods fail the test on error; call
// them from the test's own goroutine.
type Server struct {
	Addr  string // host:port, the same after Restart
	tb    testing.TB
	redis *process.Redis
}

// Start runs a server for this test alone and stops it when the test ends.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	var args []string
	if opts.AOF {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	if opts.MaxMemory != "" {
		args = append(args, "--maxmemory", opts.MaxMemory, "--maxmemory-policy", "noeviction")
	}
	p, err := process.StartRedis(context.Background(), process.RedisOptions{
		Dir: tb.TempDir(), Password: opts.Password, Config: opts.Config, Args: append(args, opts.Args...),
	})
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	tb.Cleanup(func() { p.Kill() }) // after Restart it is another process
	return &Server{Addr: p.Addr, tb: tb, redis: p}
}

// URL is the server's address, with the password if it has one.
func (s *Server) URL() string { return s.redis.URL() }

// Client returns a new client of the server, closed when the test ends.
func (s *Server) Client() *redis.Client {
	s.tb.Helper()
	return client(s.tb, s.redis)
}

// Kill ends the server with SIGKILL and returns when it is gone. A second Kill does nothing.
func (s *Server) Kill() { s.redis.Kill() }

// Restart kills the server if it runs, starts it again at the same address with the same directory,
// and returns when it answers.
func (s *Server) Restart() {
	s.tb.Helper()
	s.redis.Kill()
	if err := s.redis.Start(context.Background()); err != nil {
		s.tb.Fatalf("redistest: restart: %v", err)
	}
}

// Pause stops the server with SIGSTOP: connections stay open, nothing answers.
func (s *Server) Pause() {
	s.tb.Helper()
	if err := s.redis.Pause(); err != nil {
		s.tb.Fatalf("redistest: pause: %v", err)
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.tb.Helper()
	if err := s.redis.Resume(); err != nil {
		s.tb.Fatalf("redistest: resume: %v", err)
	}
}
