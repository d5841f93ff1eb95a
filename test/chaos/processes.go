package main

import (
	"bytes"
	"context"
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

// child is a process that this one has started.
type child struct {
	name    string
	started time.Time
	proc    *os.Process
	done    chan struct{} // closed when it has ended
	end     error         // why, then
	peak    int64         // KiB of memory at most, as far as looked
}

// program says what to start.
type program struct {
	name string // in reports, and of its log
	path string
	args []string
	env  []string
	dir  string // it runs there, and its log lies there
}

// spawn starts a process. What it prints goes to a file.
func spawn(p program) (*child, error) {
	log, err := os.OpenFile(filepath.Join(p.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	defer log.Close()                      //nolint:errcheck // the child has its own handle
	cmd := exec.Command(p.path, p.args...) //nolint:noctx,gosec // kill ends it, not a context; all arguments are ours
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.env, p.dir, log, log, apart()
	c := &child{name: p.name, started: time.Now(), done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(c.done)
		// The kernel takes the end of this thread for the end of the parent, so keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		c.proc = cmd.Process
		started <- err
		if err == nil {
			c.end = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return c, nil
}

// kill ends the process at once and returns when it is gone.
func (c *child) kill() {
	c.look()
	_ = c.proc.Kill() // the only error is that it has ended already
	<-c.done
}

// stop asks the process to end, and kills it when it does not. It says how long that took, and what was wrong with it.
func (c *child) stop(limit time.Duration) (time.Duration, error) {
	c.look()
	began := time.Now()
	if err := c.proc.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("stop %s: %w", c.name, err)
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
		c.kill()
		return time.Since(began), fmt.Errorf("%s did not stop within %v of SIGTERM", c.name, limit)
	}
	if c.end != nil {
		return time.Since(began), fmt.Errorf("%s, asked to stop, ended with: %w", c.name, c.end)
	}
	return time.Since(began), nil
}

// ended says whether the process has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// look notes the most memory that the process has had. Only Linux tells.
func (c *child) look() {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(c.proc.Pid) + "/status")
	if err != nil {
		return
	}
	for row := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(row, "VmHWM:"); ok {
			if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64); err == nil {
				c.peak = max(c.peak, n)
			}
		}
	}
}

// build compiles the program under test, unless there is one already.
func build(ctx context.Context, into, given string) (string, error) {
	if given != "" {
		path, err := filepath.Abs(given)
		if err != nil {
			return "", fmt.Errorf("find voucherd: %w", err)
		}
		return path, nil
	}
	path := filepath.Join(into, "voucherd")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, "github.com/voucherd/voucherd/cmd/voucherd") //nolint:gosec // into is ours
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build voucherd: %w\n%s", err, said.String())
	}
	return path, nil
}

// sleep waits, and says whether it could to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// until asks every so often whether something is so, and fails when it is not in time.
func until(ctx context.Context, limit time.Duration, what string, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !so() {
		if !sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("waited %v until %s: %w", limit, what, context.Cause(ctx))
		}
	}
	return nil
}
