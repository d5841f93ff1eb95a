package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/metrics"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/worker"
)

type workerCmd struct {
	Listen string `help:"Address of /livez, /readyz and /metrics." default:"127.0.0.1:9464" placeholder:"ADDRESS" variable:"VOUCHERD_WORKER_LISTEN" otherwise:"127.0.0.1:9464"`

	kong.Plugins
}

// Help says what is not a flag.
func (workerCmd) Help() string {
	return "The account's secret comes from $PANDAPON_ACCESS_SECRET, or from the file that $PANDAPON_ACCESS_SECRET_FILE names."
}

// Run delivers until the context ends.
func (c *workerCmd) Run(ctx context.Context, s *session) (err error) {
	cfg, err := s.load(workerSections())
	if err != nil {
		return err
	}
	log := newLog(s.stderr, cfg)
	for _, w := range cfg.Warnings {
		log.Warn("settings.warning", zap.String("warning", w))
	}
	s.logUnknown(log)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for /livez, /readyz and /metrics (--listen, VOUCHERD_WORKER_LISTEN): %w", err)
	}
	d, err := newDelivery(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, d.close()) }()
	// The listener is the last to go, so that it can still say that the worker is stopping.
	routes := healthRoutes(d.worker.Ready)
	routes.Handle("GET /metrics", d.metrics.Handler())
	stop := serve(ctx, listener, routes, log)
	defer stop()
	log.Info("worker.listening", zap.Stringer("address", listener.Addr()))
	d.store.await(ctx, log, "worker.waiting")
	return d.worker.Run(ctx)
}

// delivery is a worker and what it stands on.
type delivery struct {
	worker  *worker.Worker
	store   *store
	metrics *metrics.Metrics
	close   func() error
}

// newDelivery puts a worker together. Nothing runs yet.
func newDelivery(ctx context.Context, cfg config.Config, log *zap.Logger) (*delivery, error) {
	conns := 8 // for the reconciler, probes and asynq's own loops
	for _, l := range cfg.Accounts {
		conns += 2 * l.Concurrency
	}
	st, err := openStore(ctx, cfg, conns)
	if err != nil {
		return nil, err
	}
	// asynq has connections of its own: what it does to calm down must not hold up the ledger.
	queue, err := redisconn.Open(cfg.RedisURL, conns)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open redis: %w", err), st.close())
	}
	accounts, closeAccounts, err := openAccounts(cfg)
	closeAll := func() error { closeAccounts(); return errors.Join(queue.Close(), st.close()) }
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	if cfg.Worker.Name == "" {
		cfg.Worker.Name = workerName()
	}
	m := metrics.New()
	m.Watch(st.redis)
	m.Watch(queue)
	m.WatchAccounts(st.tasks)
	w, err := worker.New(worker.Config{
		Observer: m, QueueRedis: queue, Ledger: st.ledger, Store: st.store, Tasks: st.tasks, Log: log,
		Policy: cfg.Policy, Settings: cfg.Worker, Accounts: accounts,
	})
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return &delivery{worker: w, store: st, metrics: m, close: closeAll}, nil
}

func openAccounts(cfg config.Config) (accounts []worker.AccountConfig, closeAll func(), err error) {
	closeAll = func() {
		for _, l := range accounts {
			l.API.Close()
		}
	}
	for _, l := range cfg.Accounts {
		api, err := pandapon.NewClient(pandapon.Config{
			BaseURL: l.BaseURL, UploadPath: l.UploadPath, Rule: cfg.Rule, CallTimeout: cfg.Worker.CallTimeout,
			UserAgent: "voucherd/" + build().version, MaxConns: l.Concurrency,
		})
		if err != nil {
			return accounts, closeAll, fmt.Errorf("account %s: %w", l.Name, err)
		}
		accounts = append(accounts, worker.AccountConfig{
			Name: l.Name, Credentials: l.Credentials, API: api, Concurrency: l.Concurrency,
		})
	}
	return accounts, closeAll, nil
}

// workerName tells workers apart in the ledger.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
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
