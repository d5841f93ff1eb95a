package process

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
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	startLimit = 20 * time.Second     // a busy machine with a large append-only file
	askEvery   = 5 * time.Millisecond // while it starts
	portTries  = 20                   // another process may take a port first
)

var errPortTaken = errors.New("the port was taken meanwhile")

// RedisOptions are what a redis-server is started with.
type RedisOptions struct {
	Dir      string   // takes its data and its log
	Password string   // requirepass; empty = none
	Config   string   // what a configuration file holds, which "--sentinel" must have; empty = no file
	Args     []string // further arguments; they override those that every server gets
}

// Redis is one redis-server on a port of the loopback interface, running or not.
type Redis struct {
	*Process

	Addr string // host:port, the same after another Start

	opts RedisOptions
}

// StartRedis starts a server on a free port. Without options it keeps everything in memory.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	for range portTries {
		addr, err := FreeAddr(ctx)
		if err != nil {
			return nil, err
		}
		r := &Redis{Addr: addr, opts: o}
		if err = r.Start(ctx); err == nil {
			return r, nil
		} else if !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no free port in %d tries", portTries)
}

// Each process has ports of its own, as long as few run at a time, and gives none again before it has
// given all: whose server is gone for a while finds its port free. A node of a cluster also takes the
// port 10,000 above its own, so that these are below the ports of outgoing connections as well, and
// no other server's.
const lowestPort, portBlocks, portsOfBlock = 12500, 40, 250

var nextPort atomic.Int64 //nolint:gochecknoglobals // what the process has given

// FreeAddr gives a loopback address that nothing listens on. It looks below the ports that outgoing
// connections use, so that none of those takes the port while a server is being restarted.
func FreeAddr(ctx context.Context) (string, error) {
	nextPort.CompareAndSwap(0, rand.Int64N(portsOfBlock)+1)
	var taken error
	for range portTries {
		port := lowestPort + os.Getpid()%portBlocks*portsOfBlock + int(nextPort.Add(1)%portsOfBlock)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		taken = err
	}
	return "", fmt.Errorf("no free port in %d tries: %w", portTries, taken)
}

// Start starts a server that does not run, at its address and with its data, and returns when it
// answers.
func (r *Redis) Start(ctx context.Context) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not on PATH: `make` installs it, or install the package redis-server")
	}
	host, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return fmt.Errorf("address of redis: %w", err)
	}
	args := []string{
		"--bind", host, "--port", port, "--dir", r.opts.Dir, "--save", "", "--loglevel", "warning", "--daemonize", "no",
	}
	if r.opts.Password != "" {
		args = append(args, "--requirepass", r.opts.Password)
	}
	if r.opts.Config != "" {
		file := filepath.Join(r.opts.Dir, "redis.conf")
		if err = os.WriteFile(file, []byte(r.opts.Config), 0o600); err != nil {
			return fmt.Errorf("write the configuration of redis: %w", err)
		}
		args = append([]string{file}, args...)
	}
	r.Process, err = Start(Program{Name: "redis", Path: path, Args: append(args, r.opts.Args...), Dir: r.opts.Dir})
	if err != nil {
		return err
	}
	if err := r.ready(ctx); err != nil {
		r.Kill()
		return err
	}
	return nil
}

// ready waits until the server answers with its own process id: another one may have taken the
// port.
func (r *Redis) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	c := r.Client()
	defer c.Close() //nolint:errcheck // nothing is left to lose
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		info, err := c.Info(ctx, "server").Result()
		if err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", r.PID())) &&
			!redis.HasErrorPrefix(c.Get(ctx, "any").Err(), "LOADING") { // sentinels and cluster nodes err otherwise
			return nil
		}
		select {
		case <-r.done:
			return r.diagnose()
		case <-ctx.Done():
			return fmt.Errorf("redis-server did not answer within %v: %w", startLimit, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func (r *Redis) diagnose() error {
	log, err := os.ReadFile(filepath.Join(r.opts.Dir, "redis.log"))
	if err != nil {
		return fmt.Errorf("redis-server ended at once and left no log: %w", err)
	}
	if strings.Contains(string(log), "ddress already in use") {
		return errPortTaken
	}
	return fmt.Errorf("redis-server ended at once: %s", strings.TrimSpace(string(log)))
}

// Client makes a client of the server.
func (r *Redis) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Addr, Password: r.opts.Password})
}

// URL is the server's address as redis://host:port/0, with the password if it has one.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", Host: r.Addr, Path: "/0"}
	if r.opts.Password != "" {
		u.User = url.UserPassword("", r.opts.Password)
	}
	return u.String()
}
