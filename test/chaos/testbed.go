package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// testbed is all that a run consists of: real processes, and the API's stand-in in this one.
type testbed struct {
	*app.Store

	opts     options
	dir      string
	settings settings
	accounts []account
	began    time.Time

	redis   *redisServer
	api     *sandbox.Sandbox // its log is the independent witness
	server  *httptest.Server // of api
	workers []*worker
	client  *tasks.Client
	losses  []audit.Loss // of what Redis knew
	network *network     // nil where it works

	report *report
}

// newTestbed starts all but the workers. The testbed must be closed even after an error.
func newTestbed(ctx context.Context, o options, s scenario) (w *testbed, err error) {
	w = &testbed{opts: o, accounts: s.accounts, began: time.Now(), report: &report{opts: o}}
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
	w.api = sandbox.New(sandbox.Config{Credentials: creds, CheckNonce: true, Seed: o.Seed, Delay: s.delay})
	w.server = httptest.NewServer(w.api)
	store := "redis:"
	if o.Store == storeFile {
		store = "file://" + filepath.Join(w.dir, "store")
	}
	w.settings, err = newSettings(w.dir, s.accounts, append([]string{
		"VOUCHERD_REDIS_URL=" + w.redis.URL(), "VOUCHERD_STORE=" + store, "PANDAPON_BASE_URL=" + w.server.URL,
		"VOUCHERD_REDIS_WAIT=0s", // the producers here try again themselves
	}, s.vars...)...)
	if err != nil {
		return w, err
	}
	w.workers = newWorkers(o.Bin, filepath.Join(w.dir, "workers"), w.settings, o.Workers)
	st, err := app.OpenStore(ctx, w.settings.cfg, 0)
	if err != nil {
		return w, err
	}
	w.Store, w.client = st, st.Tasks
	return w, nil
}

// voucherd runs a command of the program under test, as a person would, and gives all it prints.
func (w *testbed) voucherd(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.opts.Bin, args...) //nolint:gosec // ours
	cmd.Env, cmd.Dir = w.settings.environ(), w.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("voucherd %v: %w: %s", args, err, out)
	}
	return string(out), nil
}

// say tells the person who watches what happens.
func (w *testbed) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s: %s\n", time.Since(w.began).Seconds(), w.opts.Scenario+" "+w.opts.Store, fmt.Sprintf(format, args...))
}

// close ends all that was started, and removes what it left unless that is to be kept.
func (w *testbed) close(keep bool) {
	for _, m := range w.workers {
		m.kill()
	}
	if w.network != nil {
		w.network.close()
	}
	if w.server != nil {
		w.api.Close()
		w.server.Close()
	}
	if w.Store != nil {
		_ = w.Close()
	}
	if w.redis != nil && w.redis.Redis != nil {
		w.redis.Kill()
	}
	if keep {
		w.say("logs are kept in %s", w.dir)
	} else if err := os.RemoveAll(w.dir); err != nil {
		w.say("%v", err)
	}
}
