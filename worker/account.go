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
	limit      time.Duration // for stopping
	servers    []*asynq.Server
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
	a := &account{
		name: ac.Name, limit: cfg.Settings.ShutdownTimeout, sweeper: sweeper,
		delivery: &delivery{
			account: ac.Name, set: cfg.Settings, policy: cfg.Policy, slots: newSlots(ac.Concurrency),
			stopping: make(chan struct{}), ledger: cfg.Ledger, vouchers: vouchers{cfg.Ledger, cfg.Store}, recorder: recorder,
			caller: &caller{
				account: ac.Name, creds: ac.Credentials, api: ac.API, ledger: cfg.Ledger, log: log, limit: cfg.Settings.RedisTimeout,
			},
			log: log, count: cfg.Observer,
		},
		reconciler: newReconciler(ac.Name, cfg, log, recorder.watch),
	}
	loops := min(fetchLoops, ac.Concurrency)
	for i := range loops {
		a.servers = append(a.servers, newServer(cfg, ac.Name, (ac.Concurrency+i)/loops, log))
	}
	return a
}

// newServer gives one of the account's asynq servers. Each fetches one task after the other.
func newServer(cfg Config, account string, concurrency int, log *zap.Logger) *asynq.Server {
	return asynq.NewServerFromRedisClient(&queueClient{UniversalClient: cfg.QueueRedis}, asynq.Config{
		Concurrency:              concurrency,
		Queues:                   map[string]int{ledger.Queue(account): 1},
		TaskCheckInterval:        cfg.Settings.PollEvery,
		DelayedTaskCheckInterval: forwardEvery,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		ShutdownTimeout:          cfg.Settings.ShutdownTimeout,
		Logger:                   asynqLog{log},
		LogLevel:                 asynq.InfoLevel,
	})
}

// fetchLoops is how many asynq servers share an account's concurrency: fetching is a round trip a
// task, one after the other, which held the rate at what one loop can ask for.
const fetchLoops = 4

// forwardEvery is how often asynq looks for tasks whose time has come; their times have a grain of
// one second.
const forwardEvery = time.Second

// start begins to work on the account.
func (a *account) start() error {
	a.work.Go(a.sweeper.run)
	for i, s := range a.servers {
		if err := s.Start(a.delivery); err != nil {
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

// stop ends the work: nothing new is fetched, tasks that wait go back at once, running attempts
// finish and are recorded. Past the limit asynq gives up on what still runs.
func (a *account) stop() {
	for _, s := range a.servers {
		s.Stop()
	}
	close(a.delivery.stopping)
	giveUp := time.AfterFunc(a.limit, func() { close(a.delivery.recorder.givingUp) })
	defer giveUp.Stop()
	var down sync.WaitGroup
	for _, s := range a.servers {
		down.Go(s.Shutdown)
	}
	down.Wait()
	a.end()
	a.sweeper.close()
	a.delivery.slots.close()
	a.work.Wait()
}
