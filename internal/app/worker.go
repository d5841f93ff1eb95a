package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/metrics"
	"github.com/voucherd/voucherd/internal/tracing"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/worker"
)

// WorkerSections are the sections of the settings that a worker is put together from. It enqueues what
// waits in a spool, by the rules of those who took it.
func WorkerSections() []config.Section {
	return []config.Section{
		config.Connection, config.PandaPon, config.Intake, config.Delivery, config.Retries, config.Breaker, config.Keeping,
		config.Upkeep, config.Webhooks, config.Logging,
	}
}

// StoreSections are those that whoever reads or writes the ledger must agree on.
func StoreSections() []config.Section {
	return []config.Section{
		config.Connection, config.Intake, config.Retries, config.Breaker, config.Keeping, config.Upkeep,
	}
}

// Worker is a worker and what it stands on.
type Worker struct {
	*worker.Worker

	Store   *Store
	Metrics *metrics.Metrics
	log     *zap.Logger
	version string
	traces  *tracing.Traces
	apis    map[apiOf]*pandapon.Client // of each address and concurrency that an account ever had

	mu       sync.Mutex
	hooks    []events.Webhook
	rehooked context.CancelFunc // ends the sender of other webhooks
}

// apiOf is what an account's client of the API depends on.
type apiOf struct {
	account, baseURL, uploadPath string
	concurrency                  int
}

// connsOfWorker are connections to Redis for the reconciler, probes and asynq's own loops.
const connsOfWorker = 8

// NewWorker puts a worker together; version stands in its User-Agent. Nothing runs yet. The caller
// closes it after Run.
func NewWorker(ctx context.Context, cfg config.Config, log *zap.Logger, version string) (w *Worker, err error) {
	conns := connsOfWorker
	for _, a := range cfg.Accounts {
		conns += 2 * a.Concurrency
	}
	w = &Worker{log: log, version: version, apis: map[apiOf]*pandapon.Client{}, rehooked: func() {}}
	if w.Store, err = OpenStore(ctx, cfg, conns); err != nil {
		return nil, err
	}
	w.Metrics = w.Store.Metrics()
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	cfg.Worker.Name = cmp.Or(cfg.Worker.Name, fmt.Sprintf("%s:%d", host, os.Getpid())) // tells workers apart in the ledger
	accounts, err := w.openAccounts(cfg)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if w.traces, err = OpenTraces(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.Worker, err = worker.New(worker.Config{
		Observer: w.Metrics, QueueRedis: w.Store.Redis, Ledger: w.Store.Ledger, Store: w.Store.Blob, Keys: cfg.Keys, Tasks: w.Store.Tasks, Log: log,
		Policy: cfg.Policy, Settings: cfg.Worker, Accounts: accounts, Host: host, Version: version,
		Traces: w.traces.Provider(),
		Before: func(ctx context.Context) error { return w.sender(w.hooks).Begin(ctx) },
	})
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.hooks = webhooksOf(cfg)
	return w, nil
}

// webhooksOf gives the accounts' webhooks.
func webhooksOf(cfg config.Config) []events.Webhook {
	var hooks []events.Webhook
	for _, a := range cfg.Accounts {
		if a.Webhook.URL != "" {
			hooks = append(hooks, a.Webhook)
		}
	}
	return hooks
}

// SetAccounts makes a worker that runs take the accounts of these settings, and nothing else of them.
// After an error all is as before.
func (w *Worker) SetAccounts(ctx context.Context, cfg config.Config) error {
	accounts, err := w.openAccounts(cfg)
	if err != nil {
		return err
	}
	hooks := webhooksOf(cfg)
	if err := w.sender(hooks).Begin(ctx); err != nil {
		return err
	}
	if err := w.Worker.SetAccounts(ctx, accounts); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !reflect.DeepEqual(hooks, w.hooks) {
		w.hooks = hooks
		w.rehooked()
	}
	return nil
}

// Run delivers vouchers and sends webhooks until the context ends. The error says why it could not
// start.
func (w *Worker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	sending.Go(func() { w.sendWebhooks(ctx) })
	sending.Go(func() { w.Store.RunSpool(ctx, w.log) })
	err := w.Worker.Run(ctx)
	cancel()
	sending.Wait()
	return err
}

// sendWebhooks sends until the context ends, for each change of the webhooks with another sender.
func (w *Worker) sendWebhooks(ctx context.Context) {
	for ctx.Err() == nil {
		round, cancel := context.WithCancel(ctx)
		w.mu.Lock()
		w.rehooked = cancel
		sender := w.sender(w.hooks)
		w.mu.Unlock()
		sender.Run(round)
		<-round.Done() // with no webhooks it ends at once
		cancel()
	}
}

func (w *Worker) sender(hooks []events.Webhook) *events.Sender {
	return events.NewSender(events.Config{
		Redis: w.Store.Redis, Ledger: w.Store.Ledger, Log: w.log, Webhooks: hooks, Agent: "voucherd/" + w.version, Observer: w.Metrics,
	})
}

// openAccounts gives every account its client of the API, the same one while it needs no other.
func (w *Worker) openAccounts(cfg config.Config) ([]worker.AccountConfig, error) {
	var accounts []worker.AccountConfig
	for _, a := range cfg.Accounts {
		needs := apiOf{a.Name, a.BaseURL, a.UploadPath, a.Concurrency}
		api := w.apis[needs]
		if api == nil {
			var err error
			api, err = pandapon.NewClient(pandapon.Config{
				BaseURL: a.BaseURL, UploadPath: a.UploadPath, Rule: cfg.Rule, CallTimeout: cfg.Worker.CallTimeout,
				UserAgent: "voucherd/" + w.version, MaxConns: a.Concurrency,
			})
			if err != nil {
				return nil, fmt.Errorf("account %s: %w", a.Name, err)
			}
			w.apis[needs] = api
		}
		accounts = append(accounts, worker.AccountConfig{
			Name: a.Name, Credentials: a.Credentials, API: api, Concurrency: a.Concurrency, Rate: a.Rate,
		})
	}
	return accounts, nil
}

// Close closes all that NewWorker opened.
func (w *Worker) Close() error {
	for _, api := range w.apis {
		api.Close()
	}
	return errors.Join(w.traces.Close(), w.Store.Close())
}
