package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	startLimit = 15 * time.Second     // a loaded machine with a large AOF
	lookEvery  = 5 * time.Millisecond // between two looks whether it answers
	portTries  = 20                   // another process may take a port first
)

var errPortTaken = errors.New("port was taken meanwhile")

// process is one redis-server, now or formerly running.
type process struct {
	dir  string
	addr string
	opts Options
	proc *os.Process
	done chan struct{} // closed when proc has ended
}

func newProcess(dir string, opts Options) (*process, error) {
	p := &process{dir: dir, opts: opts}
	for range portTries {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = p.start(); err == nil {
			return p, nil
		} else if !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no free port in %d tries", portTries)
}

// freePort looks below the ports that outgoing connections use, so that none
// of those takes the port while a server is being restarted.
func freePort() (int, error) {
	const lowest, beyond = 15000, 32000
	for range portTries {
		port := lowest + rand.IntN(beyond-lowest)
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port between %d and %d", lowest, beyond)
}

func (p *process) start() error {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not on PATH: `make test` installs it, or install the package redis-server")
	}
	args := p.args()
	if p.opts.Config != "" {
		file := filepath.Join(p.dir, "redis.conf")
		if err := os.WriteFile(file, []byte(p.opts.Config), 0o600); err != nil {
			return fmt.Errorf("write the configuration: %w", err)
		}
		args = append([]string{file}, args...)
	}
	//nolint:noctx,gosec // It must outlive this call, kill ends it; the arguments are the tests' own.
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, dieWithParent()
	started := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The parent-death signal comes when this thread ends, so keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		startErr := cmd.Start()
		started <- startErr
		if startErr == nil {
			_ = cmd.Wait() // Its end is all that counts.
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", bin, err)
	}
	p.proc, p.done = cmd.Process, done
	if err := p.ready(); err != nil {
		p.kill()
		return err
	}
	return nil
}

func (p *process) args() []string {
	host, port, _ := net.SplitHostPort(p.addr) // Made by JoinHostPort.
	args := []string{
		"--bind", host, "--port", port, "--dir", p.dir, "--logfile", p.logFile(),
		"--save", "", "--loglevel", "warning", "--daemonize", "no",
	}
	if p.opts.AOF {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	if p.opts.MaxMemory != "" {
		args = append(args, "--maxmemory", p.opts.MaxMemory, "--maxmemory-policy", "noeviction")
	}
	if p.opts.Password != "" {
		args = append(args, "--requirepass", p.opts.Password)
	}
	return append(args, p.opts.Args...)
}

// ready waits until the server answers with its own process id: another one
// may have taken the port.
func (p *process) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	c := redis.NewClient(p.options())
	defer func() { _ = c.Close() }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		info, err := c.Info(ctx, "server").Result()
		if err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", p.proc.Pid)) &&
			!redis.HasErrorPrefix(c.Get(ctx, "redistest").Err(), "LOADING") { // Sentinels and cluster nodes err otherwise.
			return nil
		}
		select {
		case <-p.done:
			return p.diagnose()
		case <-ctx.Done():
			return fmt.Errorf("redis-server did not answer within %v: %w", startLimit, err)
		case <-tick.C:
		}
	}
}

func (p *process) diagnose() error {
	log, err := os.ReadFile(p.logFile())
	if err != nil {
		return fmt.Errorf("redis-server ended at once and left no log: %w", err)
	}
	if strings.Contains(string(log), "ddress already in use") {
		return errPortTaken
	}
	return fmt.Errorf("redis-server ended at once: %s", strings.TrimSpace(string(log)))
}

func (p *process) logFile() string { return filepath.Join(p.dir, "redis.log") }

func (p *process) options() *redis.Options {
	return &redis.Options{Addr: p.addr, Password: p.opts.Password}
}

func (p *process) url() string {
	u := url.URL{Scheme: "redis", Host: p.addr, Path: "/0"}
	if p.opts.Password != "" {
		u.User = url.UserPassword("", p.opts.Password)
	}
	return u.String()
}

// kill ends the server and returns when it is gone; a dead one stays dead.
func (p *process) kill() {
	if p.done == nil {
		return
	}
	_ = p.proc.Kill() // The only error is that it has ended already.
	<-p.done
}

func (p *process) pause() error  { return p.proc.Signal(syscall.SIGSTOP) }
func (p *process) resume() error { return p.proc.Signal(syscall.SIGCONT) }
