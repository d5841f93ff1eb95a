//go:build crashpoints

// Package crashpoint lets the program die by SIGKILL before or after a step, such as a call of
// Redis or a file's rename. Its environment says at which:
//
//	CRASH_AT="before name" or "after name": dies when it first comes there
//	CRASH_STEPS=file: the names of the steps that it does are appended here, each once
package crashpoint

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

type steps struct {
	when, name string // where to die
	mu         sync.Mutex
	log        *os.File
	met        map[string]bool
}

var state = sync.OnceValue(func() *steps {
	s := &steps{met: map[string]bool{}}
	s.when, s.name, _ = strings.Cut(os.Getenv("CRASH_AT"), " ")
	if path := os.Getenv("CRASH_STEPS"); path != "" {
		var err error
		if s.log, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			panic(err)
		}
	}
	return s
})

// Do does a step that a crash may come before or after.
func Do(name string, step func() error) error {
	s := state()
	if s.due("before", name) {
		die()
	}
	err := step()
	if err == nil || errors.Is(err, redis.Nil) { // an empty answer is one
		s.meet(name)
		if s.due("after", name) {
			die()
		}
	}
	return err
}

// meet notes that the program has done a step.
func (s *steps) meet(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log != nil && !s.met[name] {
		s.met[name] = true
		_, _ = s.log.WriteString(name + "\n")
	}
}

func (s *steps) due(when, name string) bool { return s.when == when && s.name == name }

func die() {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}
