// Package process starts, stops and kills the programs that tests and developer tools run:
// redis-server, workers and whatever else is a process of its own. On Linux none of them outlives
// the program that started it.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Program says what to start.
type Program struct {
	Name string // in errors, and of its log
	Path string
	Args []string
	Env  []string // nil: that of this process
	Dir  string   // where it runs, and where NAME.log takes what it prints
}

// Process is a process that this one has started. Its methods are safe for concurrent use.
type Process struct {
	name string
	proc *os.Process
	done chan struct{}
	err  error // how it ended; set before done is closed
}

// Start starts a program.
func Start(p Program) (*Process, error) {
	log, err := os.OpenFile(filepath.Join(p.Dir, p.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", p.Name, err)
	}
	defer log.Close()                      //nolint:errcheck // the process has its own handle
	cmd := exec.Command(p.Path, p.Args...) //nolint:noctx,gosec // Kill ends it, not a context; all arguments are ours
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.Env, p.Dir, log, log, attributes()
	out := &Process{name: p.Name, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(out.done)
		// The kernel takes the end of this thread for the end of the parent, so keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		out.proc = cmd.Process
		started <- err
		if err == nil {
			out.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	return out, nil
}

// Name is the program's name.
func (p *Process) Name() string { return p.name }

// PID is the process id.
func (p *Process) PID() int { return p.proc.Pid }

// Ended says whether the process has ended, and with which error.
func (p *Process) Ended() (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// Kill ends the process with SIGKILL and returns when it is gone. One that has ended stays so.
func (p *Process) Kill() {
	_ = p.proc.Kill() // the only error is that it has ended already
	<-p.done
}

// Stop asks the process to end with SIGTERM, and kills it when it has not within limit. It says how
// long that took; the error says what was wrong with its end.
func (p *Process) Stop(limit time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := p.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
		p.Kill()
		return time.Since(began), fmt.Errorf("%s did not stop within %v of SIGTERM", p.name, limit)
	}
	if p.err != nil {
		return time.Since(began), fmt.Errorf("%s, asked to stop, ended with: %w", p.name, p.err)
	}
	return time.Since(began), nil
}

// Pause stops the process with SIGSTOP: its connections stay open, it does nothing.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) error {
	if err := p.proc.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// CPU gives the processor time that a running process has used, in steps of 10 ms. Only Linux
// tells; without an answer it is 0.
func CPU(pid int) time.Duration {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	const user, system, tick = 11, 12, 10 * time.Millisecond // places behind the name; the kernel's unit for programs
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	u, uerr := strconv.Atoi(fields[user])
	s, serr := strconv.Atoi(fields[system])
	if uerr != nil || serr != nil {
		return 0
	}
	return time.Duration(u+s) * tick
}

// Memory gives the bytes that a running process has in memory, and the most that it ever had. Only
// Linux tells; without an answer both are 0.
func Memory(pid int) (resident, peak int64) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0
	}
	for row := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(row, ":")
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "VmHWM":
			peak = n << 10
		case name == "VmRSS":
			resident = n << 10
		}
	}
	return resident, peak
}
