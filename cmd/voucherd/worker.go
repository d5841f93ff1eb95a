package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/build"
	"github.com/voucherd/voucherd/internal/config"
)

type workerCmd struct {
	Listen string `help:"Address of /livez, /readyz and /metrics." default:"127.0.0.1:9464" placeholder:"ADDRESS" variable:"VOUCHERD_WORKER_LISTEN"`

	kong.Plugins
}

// workerSections are the sections of the settings that a worker has flags for. What it needs of those
// who take vouchers, to enqueue what waits in a spool, comes from the environment.
func workerSections() []config.Section {
	return slices.DeleteFunc(app.WorkerSections(), func(s config.Section) bool { return s == config.Intake })
}

// Help says what is not a flag.
func (workerCmd) Help() string {
	return "The account's secret comes from $PANDAPON_ACCESS_SECRET, or from the file that $PANDAPON_ACCESS_SECRET_FILE names. " +
		"Advanced settings are not listed here; docs/reference.md has them all."
}

// Run delivers until the context ends.
func (c *workerCmd) Run(ctx context.Context, s *session) (err error) {
	cfg, err := s.load(app.WorkerSections())
	if err != nil {
		return err
	}
	log := s.openLog(cfg)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for /livez, /readyz and /metrics (--listen, VOUCHERD_WORKER_LISTEN): %w", err)
	}
	w, err := app.NewWorker(ctx, cfg, log, build.Read().Version)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	// The listener is the last to go, so that it can still say that the worker is stopping.
	routes := healthRoutes(w.Ready)
	routes.Handle("GET /metrics", w.Metrics.Handler())
	stop := serve(ctx, listener, routes, log)
	defer stop()
	log.Info("worker.listening", zap.Stringer("address", listener.Addr()))
	w.Store.Await(ctx, log, "worker.waiting")
	defer s.reloadAccounts(ctx, cfg, reload{sections: app.WorkerSections(), apply: w.SetAccounts, refused: w.Metrics.Refused, log: log})()
	return w.Run(ctx)
}

// healthRoutes answers whether the process lives, and whether it works.
func healthRoutes(ready func(context.Context) error) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyLimit)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// readyLimit is below what usual probes wait.
const readyLimit = 2 * time.Second
