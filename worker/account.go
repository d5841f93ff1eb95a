package worker

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

// account is one PandaPon account's road to the API in this worker. It has asynq servers of its own, so that one account's
// open breaker takes no other's slots.
type account struct {
	name   string
	creds  pandapon.Credentials
	set    Settings
	policy Policy
	ledger *ledger.Ledger
	store  blob.Store
	tasks  *tasks.Client
	api    *pandapon.Client
	log    *zap.Logger
	count  Observer

	slots    *slots
	skew     *skew
	sweeper  *sweeper
	recent   recent
	server   string // the Redis process that knows what recent has; the reconciler's own
	servers  []*asynq.Server
	stopping chan struct{} // closed: no new attempts, waiters go back
	givingUp chan struct{} // closed: no more tries to record an outcome
	work     sync.WaitGroup
	end      context.CancelFunc // of the reconciler
}

func newAccount(cfg Config, lc AccountConfig) *account {
	l := &account{
		name: lc.Name, creds: lc.Credentials, set: cfg.Settings, policy: cfg.Policy,
		ledger: cfg.Ledger, store: cfg.Store, tasks: cfg.Tasks, api: lc.API,
		log: cfg.Log.With(zap.String("account", lc.Name)), count: cfg.Observer,
		slots: newSlots(lc.Concurrency), skew: &skew{}, stopping: make(chan struct{}), givingUp: make(chan struct{}),
	}
	l.sweeper = newSweeper(l)
	loops := min(fetchLoops, lc.Concurrency)
	for i := range loops {
		l.servers = append(l.servers, newServer(l, cfg, lc, (lc.Concurrency+i)/loops))
	}
	return l
}

// newServer gives one of the account's asynq servers. Each fetches one task after the other.
func newServer(l *account, cfg Config, lc AccountConfig, concurrency int) *asynq.Server {
	return asynq.NewServerFromRedisClient(&queueClient{UniversalClient: cfg.QueueRedis}, asynq.Config{
		Concurrency:              concurrency,
		Queues:                   map[string]int{ledger.Queue(lc.Name): 1},
		TaskCheckInterval:        cfg.Settings.PollEvery,
		DelayedTaskCheckInterval: forwardEvery,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		ShutdownTimeout:          cfg.Settings.ShutdownTimeout,
		Logger:                   asynqLog{l.log},
		LogLevel:                 asynq.InfoLevel,
	})
}

// fetchLoops is how many asynq servers share an account's concurrency: fetching is a round trip a task, one after the other,
// which held the rate at what one loop can ask for.
const fetchLoops = 4

// forwardEvery is how often asynq looks for tasks whose time has come; their times have a grain of one second.
const forwardEvery = time.Second

// start begins to work on the account.
func (l *account) start() error {
	l.work.Go(l.sweeper.run)
	for i, s := range l.servers {
		if err := s.Start(l); err != nil {
			for _, started := range l.servers[:i] {
				started.Shutdown()
			}
			l.sweeper.close()
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	l.work.Go(func() { l.reconciler().run(ctx) })
	return nil
}

func (l *account) reconciler() *reconciler {
	return &reconciler{
		account: l.name, name: l.set.Name, ledger: l.ledger, store: l.store, tasks: l.tasks, log: l.log, count: l.count,
		every: l.set.ReconcileEvery, patience: max(30*time.Second, 2*l.set.ReconcileEvery),
		grace: l.ledger.Settings().Grace, orphans: l.set.OrphanAge, keepNotes: l.set.KeepNotes, watch: l.watch,
	}
}

// stop ends the work: nothing new is fetched, tasks that wait go back at once, running attempts finish and are
// recorded. Past ShutdownTimeout asynq gives up on what still runs.
func (l *account) stop() {
	for _, s := range l.servers {
		s.Stop()
	}
	close(l.stopping)
	giveUp := time.AfterFunc(l.set.ShutdownTimeout, func() { close(l.givingUp) })
	defer giveUp.Stop()
	var down sync.WaitGroup
	for _, s := range l.servers {
		down.Go(s.Shutdown)
	}
	down.Wait()
	l.end()
	l.sweeper.close()
	l.slots.close()
	l.work.Wait()
}

// upload makes the call, signed now.
func (l *account) upload(ctx context.Context, run ledger.Running, voucher io.Reader) (pandapon.Receipt, error) {
	creds := l.creds
	if run.UserID != "" {
		creds.UserID = run.UserID
	}
	return l.api.Upload(ctx, pandapon.Upload{
		Credentials: creds, Nonce: run.Nonce, OrderID: run.OrderID, Voucher: voucher, Size: run.Size,
		Skew: l.skew.correction(),
	})
}
