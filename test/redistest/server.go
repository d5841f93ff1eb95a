package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// Options choose what a server of a test's own is like. The zero value keeps
// everything in memory, without a limit or a password.
type Options struct {
	AOF       bool     // append-only file, fsync always: survives Kill and Restart
	MaxMemory string   // as in redis.conf ("3mb"), policy noeviction; empty = no limit
	Password  string   // requirepass
	Args      []string // further redis-server arguments: "--hz", "100"
	Config    string   // what a configuration file holds, which "--sentinel" must have; empty = no file
}

// Server is one redis-server that a test may treat badly. Its methods fail the
// test on error; call them from the test's own goroutine.
type Server struct {
	Addr string // host:port, the same after Restart
	tb   testing.TB
	proc *process
}

// Start runs a server for this test alone and stops it when the test ends.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	p, err := newProcess(tb.TempDir(), opts)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	tb.Cleanup(p.kill)
	return &Server{Addr: p.addr, tb: tb, proc: p}
}

// URL is the server's address, with the password if it has one.
func (s *Server) URL() string { return s.proc.url() }

// Client returns a new client of the server, closed when the test ends.
func (s *Server) Client() *redis.Client {
	s.tb.Helper()
	return client(s.tb, s.proc)
}

// Kill ends the server with SIGKILL and returns when it is gone. A second Kill
// does nothing.
func (s *Server) Kill() { s.proc.kill() }

// Restart kills the server if it runs, starts it again at the same address
// with the same directory, and returns when it answers.
func (s *Server) Restart() {
	s.tb.Helper()
	s.proc.kill()
	if err := s.proc.start(); err != nil {
		s.tb.Fatalf("redistest: restart: %v", err)
	}
}

// Pause stops the server with SIGSTOP: connections stay open, nothing answers.
func (s *Server) Pause() {
	s.tb.Helper()
	if err := s.proc.pause(); err != nil {
		s.tb.Fatalf("redistest: pause: %v", err)
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.tb.Helper()
	if err := s.proc.resume(); err != nil {
		s.tb.Fatalf("redistest: resume: %v", err)
	}
}
