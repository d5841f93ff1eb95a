package worker

import (
	"context"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
)

// account is one PandaPon account in this worker. It has asynq servers of its own, so that one
// account's open breaker takes no other's slots.
type account struct {
	name       string
	cfg        AccountConfig
	limit      time.Duration // for stopping
	servers    []*asynq.Server
	fetcher    *fetcher
	delivery   *delivery
	sweeper    *sweeper
	reconciler *reconciler
	work       sync.WaitGroup
	end        context.CancelFunc // of the reconciler
}

func newAccount(cfg Config, ac AccountConfig) *account {
	log := cfg.Log.With(zap.String("account", ac.Name))
	sweeper := newSweeper(ac.Name, cfg, log)
	recorder := &recorder{
		account: ac.Name, ledger: cfg.Ledger, tasks: cfg.Tasks, sweeper: sweeper, log: log, set: cfg.Settings,
		givingUp: make(chan struct{}),
	}
	slots := newSlots(ac.Concurrency, ac.Rate != ledger.Rate{})
	heart := newHeartbeat(ac, cfg, log)
	a := &account{
		name: ac.Name, cfg: ac, limit: cfg.Settings.ShutdownTimeout, sweeper: sweeper,
		fetcher: newFetcher(cfg, ac.Name, slots, heart.known, log),
		delivery: &delivery{
			account: ac.Name, heart: heart, set: cfg.Settings, policy: cfg.Policy, slots: slots, rate: ac.Rate,
			stopping: make(chan struct{}), ledger: cfg.Ledger, vouchers: vouchers{cfg.Ledger, cfg.Store, cfg.Keys}, recorder: recorder,
			caller: &caller{
				account: ac.Name, creds: ac.Credentials, api: ac.API, ledger: cfg.Ledger, log: log, limit: cfg.Settings.RedisTimeout,
			},
			log: log, count: cfg.Observer, tracer: cfg.Traces.Tracer("github.com/voucherd/voucherd/worker"),
		},
		reconciler: newReconciler(ac.Name, heart, cfg, log, recorder.watch),
	}
	servers := (ac.Concurrency + slotsPerServer - 1) / slotsPerServer
	for i := range servers {
		a.servers = append(a.servers, newServer(cfg, a.fetcher, (ac.Concurrency+i)/servers, log))
	}
	return a
}

// slotsPerServer is how many tasks one asynq server handles: its one loop hands them out, and its
// one heartbeat extends their leases.
const slotsPerServer = 16

// newServer gives one of the account's asynq servers.
func newServer(cfg Config, f *fetcher, concurrency int, log *zap.Logger) *asynq.Server {
	return asynq.NewServerFromRedisClient(&queueClient{UniversalClient: cfg.QueueRedis, fetch: f, most: concurrency}, asynq.Config{
		Concurrency:              concurrency,
		Queues:                   map[string]int{ledger.Queue(f.account): 1},
		TaskCheckInterval:        time.Millisecond, // the fetcher does the waiting
		DelayedTaskCheckInterval: forwardEvery,
		JanitorInterval:          cleanEvery,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		ShutdownTimeout:          cfg.Settings.ShutdownTimeout,
		Logger:                   asynqLog{log},
		LogLevel:                 asynq.InfoLevel,
	})
}

// forwardEvery is how often asynq looks for tasks whose time has come; their times have a grain of
// one second.
const forwardEvery = time.Second

// cleanEvery is how often asynq removes finished tasks that it has shown for long enough.
const cleanEvery = time.Minute

// start begins to work on the account.
func (a *account) start() error {
	a.work.Go(a.sweeper.run)
	for i, s := range a.servers {
		if err := s.Start(a.delivery); err != nil {
			a.fetcher.close()
			for _, started := range a.servers[:i] {
				started.Shutdown()
			}
			a.sweeper.close()
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.end = cancel
	a.work.Go(func() { a.reconciler.run(ctx) })
	return nil
}

// stop ends the work.
func (a *account) stop() {
	a.quiesce()
	a.drain()
}

// quiesce lets nothing new be fetched, and tasks that wait go back at once.
func (a *account) quiesce() {
	a.fetcher.close()
	for _, s := range a.servers {
		s.Stop()
	}
	a.fetcher.giveBack()
	close(a.delivery.stopping)
}

// drain lets running attempts finish and be recorded. Past the limit asynq gives up on what still
// runs, and what cannot be recorded is logged.
func (a *account) drain() {
	began := time.Now()
	giveUp := time.AfterFunc(a.limit, func() { close(a.delivery.recorder.givingUp) })
	defer giveUp.Stop()
	var down sync.WaitGroup
	for _, s := range a.servers {
		down.Go(s.Shutdown)
	}
	down.Wait()
	a.settle(began.Add(a.limit + a.delivery.set.RedisTimeout))
	a.end()
	a.sweeper.close()
	a.delivery.slots.close()
	a.work.Wait()
}

// settle waits until no task is being processed, but no longer than until then. Asynq waits for none
// whose lease has ended.
func (a *account) settle(until time.Time) {
	done := make(chan struct{})
	go func() { a.delivery.running.Wait(); close(done) }()
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
