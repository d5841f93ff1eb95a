package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// childArgument makes this program a child. Its spec follows as JSON.
const childArgument = "child"

// spec says what a child is.
type spec struct {
	System      string        `json:"system"` // its kind
	Worker      bool          `json:"worker"` // or a producer
	Socket      string        `json:"socket"` // where it takes calls
	Redis       string        `json:"redis"`  // URL
	API         string        `json:"api"`    // URL
	Store       string        `json:"store"`
	Concurrency int           `json:"concurrency"`
	Retention   time.Duration `json:"retention"`
}

// Order is a number of uploads to enqueue, or to send.
type Order struct {
	From  int // number of the first
	N     int
	Size  int           // of each voucher
	Limit time.Duration // when to stop early
}

// Reply is how many were done, and how long it took.
type Reply struct {
	Count   int
	Elapsed time.Duration
}

// Usage is what a child has used so far.
type Usage struct {
	CPU      time.Duration
	Resident int64 // bytes now
	Peak     int64 // most bytes at a time; 0 where the system does not tell
	Trips    int64 // to Redis and back
	Commands int64 // sent to Redis
}

func (u Usage) minus(v Usage) Usage {
	u.CPU, u.Trips, u.Commands = u.CPU-v.CPU, u.Trips-v.Trips, u.Commands-v.Commands
	return u
}

// child is a process of this benchmark, as its parent sees it. What it logs goes to a file.
type child struct {
	*process.Process

	rpc *rpc.Client
}

const (
	startLimit = 30 * time.Second // a busy machine
	stopLimit  = 20 * time.Second
)

// spawn starts a child and waits until it takes calls.
func spawn(ctx context.Context, dir, name string, s spec) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	s.Socket = filepath.Join(dir, name+".socket")
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p, err := process.Start(process.Program{Name: name, Path: self, Args: []string{childArgument, string(text)}, Dir: dir})
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", s.Socket)
		if err == nil {
			return &child{Process: p, rpc: rpc.NewClient(conn)}, nil
		}
		ended, _ := p.Ended()
		if serr := sleep(ctx, 5*time.Millisecond); ended || serr != nil || time.Since(began) > startLimit {
			p.Kill()
			return nil, fmt.Errorf("start %s, see %s.log: %w", name, filepath.Join(dir, name), err)
		}
	}
}

func (c *child) call(ctx context.Context, method string, args, reply any) error {
	select {
	case call := <-c.rpc.Go("Child."+method, args, reply, make(chan *rpc.Call, 1)).Done:
		if call.Error != nil {
			return fmt.Errorf("%s, told to %s: %w", c.Name(), method, call.Error)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *child) run(ctx context.Context, o Order) (r Reply, err error) {
	return r, c.call(ctx, "Run", o, &r)
}

func (c *child) stop() error {
	_, err := c.Stop(stopLimit)
	return errors.Join(err, c.rpc.Close())
}

// used sums up what children have used.
func used(ctx context.Context, children ...*child) (all Usage, err error) {
	for _, c := range children {
		var u Usage
		if err := c.call(ctx, "Usage", false, &u); err != nil {
			return all, err
		}
		all = Usage{
			CPU: all.CPU + u.CPU, Resident: all.Resident + u.Resident, Peak: max(all.Peak, u.Peak),
			Trips: all.Trips + u.Trips, Commands: all.Commands + u.Commands,
		}
	}
	return all, nil
}

// service is a child in its own process. Its exported methods are what the parent calls.
type service struct {
	trips       trips
	concurrency int
	send        func(ctx context.Context, raw []byte) func(i int) error // gives one goroutine's loop body; nil in a worker
	close       func() error
}

// serve is a child's main: it takes calls until SIGTERM.
func serve(text string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	c, err := newService(context.WithoutCancel(ctx), s)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	l, err := new(net.ListenConfig).Listen(ctx, "unix", s.Socket)
	if err = errors.Join(err, server.RegisterName("Child", c)); err != nil {
		return errors.Join(err, c.close())
	}
	go server.Accept(l)
	<-ctx.Done()
	return errors.Join(c.close(), l.Close())
}

// Run does something N times, several at a time, until the limit.
func (c *service) Run(o Order, r *Reply) (err error) {
	raw := voucher(o.Size)
	*r, err = many(context.Background(), o, c.concurrency, func(ctx context.Context) func(int) error { return c.send(ctx, raw) })
	return err
}

// Usage tells what this process has used.
func (c *service) Usage(_ bool, u *Usage) error {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return fmt.Errorf("ask for the CPU time: %w", err)
	}
	u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	u.Trips, u.Commands = c.trips.trips.Load(), c.trips.commands.Load()
	u.Resident, u.Peak = process.Memory(os.Getpid())
	return nil
}

// Profile starts a CPU profile, or ends it when there is no path.
func (*service) Profile(path string, _ *bool) error {
	pprof.StopCPUProfile()
	if path == "" {
		return nil
	}
	f, err := os.Create(path) //nolint:gosec // where the user wants it; closed by the end of the process
	if err != nil {
		return fmt.Errorf("make the profile: %w", err)
	}
	return pprof.StartCPUProfile(f)
}

// many does something N times, several at a time, until the limit, and says how often and how long.
func many(ctx context.Context, o Order, atOnce int, each func(context.Context) func(int) error) (Reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range atOnce {
		all.Go(func() {
			do := each(ctx)
			for ctx.Err() == nil && time.Since(began) < o.Limit {
				i := int(next.Add(1)) - 1
				if i >= o.N {
					return
				}
				if err := do(o.From + i); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return Reply{Count: int(done.Load()), Elapsed: time.Since(began)}, context.Cause(ctx)
}
