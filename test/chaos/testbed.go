package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
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

// testbed is all that a run consists of: real processes, and the API's stand-in in this one.
type testbed struct {
	opts     options
	dir      string
	settings settings
	accounts []account
	began    time.Time

	redis   *redisServer
	api     *sandbox.Sandbox // its log is the independent witness
	server  *httptest.Server // of api
	workers *workers
	rdb     redis.UniversalClient
	store   blob.Store
	client  *tasks.Client
	losses  []audit.Loss // of what Redis knew

	report *report
}

// newTestbed starts all but the workers. The testbed must be closed even after an error.
func newTestbed(ctx context.Context, o options, s scenario) (w *testbed, err error) {
	w = &testbed{opts: o, accounts: s.accounts, began: time.Now(), report: newReport(o)}
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
	creds := make([]pandapon.Credentials, len(s.accounts))
	for i, a := range s.accounts {
		creds[i] = a.creds
	}
	w.api = sandbox.New(sandbox.Config{Credentials: creds, CheckNonce: true, Seed: o.seed, Delay: s.delay})
	w.server = httptest.NewServer(w.api)
	store := "redis:"
	if o.store == storeFile {
		store = "file://" + filepath.Join(w.dir, "store")
	}
	w.settings, err = newSettings(w.dir, s.accounts, append([][2]string{
		{"VOUCHERD_REDIS_URL", w.redis.URL()}, {"VOUCHERD_STORE", store}, {"PANDAPON_BASE_URL", w.server.URL},
	}, s.vars...))
	if err != nil {
		return w, err
	}
	w.workers = newWorkers(o.bin, filepath.Join(w.dir, "workers"), w.settings, o.workers)
	return w, w.connect(ctx)
}

// connect makes a producer of this process.
func (w *testbed) connect(ctx context.Context) (err error) {
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
func (w *testbed) voucherd(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, w.opts.bin, args...) //nolint:gosec // ours
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.settings.environ(), w.dir, &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), errs.String(), fmt.Errorf("voucherd %v: %w: %s", args, err, errs.String())
	}
	return out.String(), errs.String(), nil
}

// say tells the person who watches what happens.
func (w *testbed) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s: %s\n", time.Since(w.began).Seconds(), w.opts.name(), fmt.Sprintf(format, args...))
}

// close ends all that was started, and removes what it left unless that is to be kept.
func (w *testbed) close(keep bool) {
	if w.workers != nil {
		w.workers.close()
	}
	if w.server != nil {
		w.api.Close()
		w.server.Close()
	}
	if w.store != nil {
		_ = w.store.Close()
	}
	if w.rdb != nil {
		_ = w.rdb.Close()
	}
	if w.redis != nil && w.redis.Redis != nil {
		w.redis.Kill()
	}
	if keep {
		w.say("logs are kept in %s", w.dir)
	} else if err := os.RemoveAll(w.dir); err != nil { //nolint:gosec // made by MkdirTemp
		w.say("%v", err)
	}
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
