package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// childArgument makes this program a child, which reads its spec and its orders from standard input.
const childArgument = "child"

// The roles of children.
const (
	roleRedis    = "redis"
	roleAPI      = "api"
	roleProxy    = "proxy"
	rolePlain    = "plain"
	roleProducer = "producer"
	roleWorker   = "worker"
)

// spec says what a child is.
type spec struct {
	Role        string
	System      string // kind of system: plain, naive or voucherd
	Redis       string // URL
	API         string // URL
	Store       string
	Concurrency int
	Retention   time.Duration
	Delay       time.Duration // of the proxy, for a way there and back
	Dir         string
}

// order is what a child is told to do, reply what it answers. Children take one order at a time.
type order struct {
	Do    string
	From  int // number of the first upload
	N     int
	Size  int           // of each voucher
	Limit time.Duration // when to stop early
	Delay time.Duration // of the API's answers
	Drip  bool          // the delay is spent while reading, not after
	Path  string
}

type reply struct {
	Error    string
	URL      string
	Count    int
	Elapsed  time.Duration
	InFlight int // most at a time
	Usage    usage
}

// child is a process of this benchmark, as its parent sees it.
type child struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	orders  *gob.Encoder
	replies chan reply
	done    chan struct{} // closed when it has ended
	end     error
}

// spawn starts a child and waits until it is ready. What it logs goes to a file in dir.
func spawn(ctx context.Context, dir, name string, s spec) (*child, reply, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, reply{}, fmt.Errorf("find this program: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // in our own directory
	if err != nil {
		return nil, reply{}, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()                                          // the child has its own
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, childArgument) //nolint:gosec // it is this program; stop ends it
	cmd.Stderr, cmd.Dir = log, dir
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, reply{}, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, reply{}, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{
		name: name, cmd: cmd, in: in, orders: gob.NewEncoder(in), replies: make(chan reply), done: make(chan struct{}),
	}
	if err = cmd.Start(); err != nil {
		return nil, reply{}, fmt.Errorf("start %s: %w", name, err)
	}
	go c.read(out)
	err = c.orders.Encode(s)
	var ready reply
	if err == nil {
		ready, err = c.next(ctx, startLimit)
	}
	if err != nil {
		return nil, reply{}, errors.Join(fmt.Errorf("start %s: %w", name, err), c.stop())
	}
	return c, ready, nil
}

const (
	startLimit = 30 * time.Second // a busy machine
	stopLimit  = 20 * time.Second
	orderSlack = 60 * time.Second // beyond an order's own limit
)

// read passes the child's replies on until it ends.
func (c *child) read(out io.Reader) {
	defer close(c.done)
	replies := gob.NewDecoder(out)
	for {
		var r reply
		if err := replies.Decode(&r); err != nil {
			break
		}
		c.replies <- r
	}
	_, _ = io.Copy(io.Discard, out) // Wait wants it read to its end
	c.end = c.cmd.Wait()
	close(c.replies)
}

func (c *child) next(ctx context.Context, limit time.Duration) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case r, ok := <-c.replies:
		switch {
		case !ok:
			return r, fmt.Errorf("it ended: %w", errors.Join(c.end, io.ErrUnexpectedEOF))
		case r.Error != "":
			return r, errors.New(r.Error)
		}
		return r, nil
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// tell gives an order and waits for the reply.
func (c *child) tell(ctx context.Context, o order) (reply, error) {
	if err := c.orders.Encode(o); err != nil {
		return reply{}, fmt.Errorf("tell %s to %s: %w", c.name, o.Do, err)
	}
	r, err := c.next(ctx, o.Limit+orderSlack)
	if err != nil {
		return r, fmt.Errorf("%s, told to %s: %w", c.name, o.Do, err)
	}
	return r, nil
}

// stop lets the child end, and ends it when it does not.
func (c *child) stop() error {
	_ = c.in.Close() // if it has ended already this fails
	late := time.NewTimer(stopLimit)
	defer late.Stop()
	for {
		select {
		case <-c.replies: // of an order that nobody waits for
		case <-c.done:
			if c.end != nil {
				return fmt.Errorf("%s: %w", c.name, c.end)
			}
			return nil
		case <-late.C:
			_ = c.cmd.Process.Kill() // the only error is that it has ended
			return fmt.Errorf("%s did not end within %v", c.name, stopLimit)
		}
	}
}
