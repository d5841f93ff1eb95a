// Package worker delivers what was enqueued: per account asynq servers, a breaker, a policy, and a
// reconciler that keeps the queue in step with the ledger.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

// Config is what a Worker needs. All but Policy and Settings is required, and stays the caller's to
// close.
type Config struct {
	QueueRedis redis.UniversalClient // for asynq; best the ledger's, so that calls of both travel together
	Ledger     *ledger.Ledger
	Store      blob.Store
	Keys       blob.Keys // open vouchers that are kept with their records; Store has its own
	Tasks      *tasks.Client
	Log        *zap.Logger
	Policy     Policy
	Settings   Settings
	Accounts   []AccountConfig
	Observer   Observer // nil: nobody counts
	Host       string   // where it runs, and which version of it, for people to see
	Version    string
	Traces     trace.TracerProvider // takes a span for each attempt; nil: nobody does

	Before func(context.Context) error // to be done in Redis before the first attempt; nil: nothing
}

// Observer counts what a worker does. It must be safe for concurrent use.
type Observer interface {
	Attempted(account string, outcome ledger.Outcome, took time.Duration)
	Repaired(account string, tasks int)
}

// nobody is the Observer of a worker that has none.
type nopObserver struct{}

func (nopObserver) Attempted(string, ledger.Outcome, time.Duration) {}
func (nopObserver) Repaired(string, int)                            {}

// AccountConfig is one PandaPon account.
type AccountConfig struct {
	Name        string
	Credentials pandapon.Credentials
	API         *pandapon.Client
	Concurrency int         // most attempts at a time, and most tasks that this worker holds
	Rate        ledger.Rate // of attempts, over all workers
}

// Settings are the worker's own numbers. The zero value of a field stands for its default.
type Settings struct {
	Name            string        // of this worker, in the ledger; "worker"
	CallTimeout     time.Duration // of one call to the API; 60 s
	LeaseMargin     time.Duration // how much longer an attempt's lease is than its call can take; 30 s
	ShutdownTimeout time.Duration // how long running attempts may finish; CallTimeout and a quarter
	HoldLimit       time.Duration // how long a task waits in its handler before it goes round once more; 1 h
	PollEvery       time.Duration // how often an idle account asks for tasks that no message told of; 1 s
	ReconcileEvery  time.Duration // between two passes of the reconciler; 10 s
	BeatEvery       time.Duration // between two beats, by which others see that it lives; 2 s
	DeadAfter       time.Duration // how long another worker may be silent before its uploads are taken back; 10 s
	OrphanAge       time.Duration // from which a voucher that nobody claimed is deleted; 1 h
	KeepNotes       time.Duration // how long a file store knows what was delivered, should Redis forget it; 1 h
	FinishPatience  time.Duration // how long an outcome is tried to be recorded; 10 min
	RedisTimeout    time.Duration // of one call to the ledger; 10 s
	RedisPause      time.Duration // between two tries while Redis is away; 1 s
	TaskRetention   time.Duration // how long asynq shows a finished task; 0: not at all
}

// WithDefaults fills in what is not set.
func (s Settings) WithDefaults() Settings {
	s.Name = cmp.Or(s.Name, "worker")
	s.CallTimeout = cmp.Or(s.CallTimeout, time.Minute)
	s.LeaseMargin = cmp.Or(s.LeaseMargin, 30*time.Second)
	s.ShutdownTimeout = cmp.Or(s.ShutdownTimeout, s.CallTimeout+s.CallTimeout/4)
	s.HoldLimit = cmp.Or(s.HoldLimit, time.Hour)
	s.PollEvery = cmp.Or(s.PollEvery, time.Second)
	s.ReconcileEvery = cmp.Or(s.ReconcileEvery, 10*time.Second)
	s.BeatEvery = cmp.Or(s.BeatEvery, 2*time.Second)
	s.DeadAfter = cmp.Or(s.DeadAfter, 10*time.Second)
	s.OrphanAge = cmp.Or(s.OrphanAge, time.Hour)
	s.KeepNotes = cmp.Or(s.KeepNotes, time.Hour)
	s.FinishPatience = cmp.Or(s.FinishPatience, 10*time.Minute)
	s.RedisTimeout = cmp.Or(s.RedisTimeout, 10*time.Second)
	s.RedisPause = cmp.Or(s.RedisPause, time.Second)
	return s
}

// Worker works on its accounts until it is stopped.
type Worker struct {
	cfg      Config
	changing sync.Mutex     // one change of the accounts at a time
	leaving  sync.WaitGroup // accounts that it no longer works on, with calls under way

	mu       sync.Mutex
	accounts []*account
	relisten context.CancelFunc // has the accounts' messages asked for anew
	up       bool
}

// New gives a worker. It touches nothing until Start.
func New(cfg Config) (*Worker, error) {
	cfg.Policy, cfg.Settings = cfg.Policy.WithDefaults(), cfg.Settings.WithDefaults()
	if len(cfg.Accounts) == 0 {
		return nil, errors.New("a worker needs at least one account")
	}
	if cfg.Observer == nil {
		cfg.Observer = nopObserver{}
	}
	if cfg.Traces == nil {
		cfg.Traces = noop.NewTracerProvider()
	}
	w := &Worker{cfg: cfg, relisten: func() {}}
	var err error
	w.accounts, err = w.accountsOf(cfg.Accounts, nil)
	return w, err
}

// Run works until the context ends, and then stops in order. While Redis is away at the start it
// waits for it. The error says why it could not start.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.bind(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	listening, cancel := context.WithCancel(ctx)
	var listener sync.WaitGroup
	defer func() { cancel(); listener.Wait() }()
	listener.Go(func() { w.listen(listening) })
	var started []*account
	for _, l := range w.accounts {
		if err := l.start(); err != nil { //nolint:contextcheck // an account ends by stop, in order, not with the context
			stopAll(started)
			return fmt.Errorf("start account %s: %w", l.name, err)
		}
		started = append(started, l)
	}
	w.setUp(true)
	w.cfg.Log.Info("worker.started", zap.String("worker", w.cfg.Settings.Name), zap.Int("accounts", len(started)))
	<-ctx.Done()
	w.changing.Lock()
	defer w.changing.Unlock()
	w.setUp(false)
	w.cfg.Log.Info("worker.stopping", zap.Duration("limit", w.cfg.Settings.ShutdownTimeout))
	stopAll(w.accounts)
	w.leaving.Wait()
	return nil
}

func stopAll(accounts []*account) {
	var wg sync.WaitGroup
	for _, l := range accounts {
		wg.Go(l.stop)
	}
	wg.Wait()
}

// bind makes sure that all workers of an account share one store.
func (w *Worker) bind(ctx context.Context) error {
	for {
		err := w.bindOnce(ctx, w.accounts)
		if err == nil && w.cfg.Before != nil {
			err = w.cfg.Before(ctx)
		}
		if err == nil || errors.Is(err, ledger.ErrOtherStore) {
			return err
		}
		if ctx.Err() == nil {
			w.cfg.Log.Warn("worker.waiting", zap.Error(explainRedis(w.cfg.QueueRedis, err)))
		}
		t := time.NewTimer(w.cfg.Settings.RedisPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

func (w *Worker) bindOnce(ctx context.Context, accounts []*account) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Settings.RedisTimeout)
	defer cancel()
	for _, l := range accounts {
		if err := w.cfg.Tasks.Bind(ctx, l.name); err != nil {
			return err
		}
	}
	return nil
}

// errNotRunning is why a worker is not ready.
var errNotRunning = errors.New("the worker is not running: it starts, or it stops")

func (w *Worker) setUp(up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up = up
}

// Ready says whether the worker works: nil, or why not.
func (w *Worker) Ready(ctx context.Context) error {
	if _, err := w.cfg.Ledger.Accounts(ctx); err != nil {
		return redisconn.Explain(w.cfg.QueueRedis, err)
	}
	if err := w.cfg.Store.Check(ctx); err != nil {
		return fmt.Errorf("the blob store is away: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.up {
		return errNotRunning
	}
	return nil
}
