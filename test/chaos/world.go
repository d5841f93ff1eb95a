package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// world is all that a run consists of: real processes, and the API's stand-in in this one.
type world struct {
	opts     options
	dir      string
	settings settings
	accounts []account
	began    time.Time

	redis  *redisServer
	api    *api
	fleet  *fleet
	rdb    redis.UniversalClient
	store  blob.Store
	client *tasks.Client
	losses []audit.Loss // of what Redis knew

	report *report
}

// stage is what differs between scenarios.
type stage struct {
	accounts []account
	vars     [][2]string
	workers  int
	delay    time.Duration // of a healthy answer
}

// newWorld starts all but the workers. The world is to be closed even after an error.
func newWorld(ctx context.Context, o options, s stage) (w *world, err error) {
	w = &world{opts: o, accounts: s.accounts, began: time.Now(), report: newReport(o)}
	if w.dir, err = os.MkdirTemp("", "voucherd-chaos-"); err != nil {
		return w, fmt.Errorf("make a directory: %w", err)
	}
	w.say("starting redis and the API's stand-in, in %s", w.dir)
	for _, sub := range []string{"redis", "store", "workers"} {
		if err = os.Mkdir(filepath.Join(w.dir, sub), 0o700); err != nil {
			return w, fmt.Errorf("make a directory: %w", err)
		}
	}
	if w.redis, err = startRedis(ctx, filepath.Join(w.dir, "redis")); err != nil {
		return w, err
	}
	if w.api, err = serveAPI(ctx, o.seed, s); err != nil {
		return w, err
	}
	w.settings, err = newSettings(w.dir, w.redis.url(), w.api.url, w.storeURL(), s.accounts, s.vars)
	if err != nil {
		return w, err
	}
	w.fleet = newFleet(w.opts.bin, filepath.Join(w.dir, "workers"), w.settings, s.workers)
	return w, w.connect(ctx)
}

func (w *world) storeURL() string {
	if w.opts.store == storeFile {
		return "file://" + filepath.Join(w.dir, "store")
	}
	return "redis:"
}

// connect makes a producer of this process.
func (w *world) connect(ctx context.Context) (err error) {
	cfg := w.settings.cfg
	if w.rdb, err = redisconn.Open(cfg.RedisURL, 0); err != nil {
		return fmt.Errorf("open redis: %w", err)
	}
	if w.store, err = blob.Open(ctx, cfg.Store, w.rdb); err != nil {
		return fmt.Errorf("open the blob store: %w", err)
	}
	w.client = tasks.New(tasks.Config{
		Redis: w.rdb, Store: w.store, Ledger: ledger.New(w.rdb, cfg.Ledger), InlineMost: cfg.InlineMost(),
		MaxVoucherBytes: cfg.MaxVoucherBytes,
		MediaTypes:      cfg.MediaTypes, Retention: cfg.TaskRetention,
	})
	return nil
}

// voucherd runs a command of the program under test, as a person would.
func (w *world) voucherd(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, w.opts.bin, args...) //nolint:gosec // ours
	var out, said bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = w.settings.environ(), w.dir, &out, &said, apart()
	if err := cmd.Run(); err != nil {
		return out.String(), said.String(), fmt.Errorf("voucherd %v: %w: %s", args, err, said.String())
	}
	return out.String(), said.String(), nil
}

// say tells the person who watches what happens.
func (w *world) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s: %s\n", time.Since(w.began).Seconds(), w.opts.name(), fmt.Sprintf(format, args...))
}

// close ends all that was started, and removes what it left unless that is to be kept.
func (w *world) close(keep bool) {
	if w.fleet != nil {
		w.fleet.close()
	}
	if w.api != nil {
		w.api.close()
	}
	if w.store != nil {
		_ = w.store.Close()
	}
	if w.rdb != nil {
		_ = w.rdb.Close()
	}
	if w.redis != nil {
		w.redis.kill()
	}
	if w.dir == "" {
		return
	}
	if keep {
		w.say("logs are kept in %s", w.dir)
	} else if err := os.RemoveAll(w.dir); err != nil { //nolint:gosec // made by MkdirTemp
		w.say("%v", err)
	}
}

// api is the API's stand-in on a port of its own. Its log is the independent witness.
type api struct {
	*sandbox.Sandbox

	url    string
	server *http.Server
	done   chan struct{}
}

func serveAPI(ctx context.Context, seed uint64, s stage) (*api, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the API's stand-in: %w", err)
	}
	creds := make([]pandapon.Credentials, len(s.accounts))
	for i, l := range s.accounts {
		creds[i] = l.creds
	}
	a := &api{
		Sandbox: sandbox.New(sandbox.Config{Credentials: creds, CheckNonce: true, Seed: seed, Delay: s.delay}),
		url:     "http://" + listener.Addr().String(), done: make(chan struct{}),
	}
	a.server = &http.Server{Handler: a.Sandbox, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(a.done)
		if err := a.server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "the API's stand-in:", err)
		}
	}()
	return a, nil
}

func (a *api) close() {
	a.Close()
	_ = a.server.Close() // nobody is left to be answered
	<-a.done
}
