package worker

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/vault"
)

// lane is one PandaPon account's road to the API in this worker. It has an asynq server of its own, so that one lane's
// shut gate takes no other's slots.
type lane struct {
	name   string
	creds  pandapon.Credentials
	set    Settings
	policy Policy
	ledger *ledger.Ledger
	vault  vault.Vault
	tasks  *tasks.Client
	api    *pandapon.Client
	log    *zap.Logger
	count  Observer

	gate     *gate
	skew     *skew
	sweeper  *sweeper
	server   *asynq.Server
	stopping chan struct{} // closed: no new attempts, waiters go back
	givingUp chan struct{} // closed: no more tries to record an outcome
	work     sync.WaitGroup
	end      context.CancelFunc // of the reconciler
}

func newLane(cfg Config, lc LaneConfig) *lane {
	l := &lane{
		name: lc.Name, creds: lc.Credentials, set: cfg.Settings, policy: cfg.Policy,
		ledger: cfg.Ledger, vault: cfg.Vault, tasks: cfg.Tasks, api: lc.API,
		log: cfg.Log.With(zap.String("lane", lc.Name)), count: cfg.Observer,
		gate: newGate(lc.Concurrency), skew: &skew{}, stopping: make(chan struct{}), givingUp: make(chan struct{}),
	}
	l.sweeper = newSweeper(l)
	l.server = asynq.NewServerFromRedisClient(cfg.QueueRedis, asynq.Config{
		Concurrency:              lc.Concurrency,
		Queues:                   map[string]int{ledger.Queue(lc.Name): 1},
		TaskCheckInterval:        cfg.Settings.PollEvery,
		DelayedTaskCheckInterval: forwardEvery,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		ShutdownTimeout:          cfg.Settings.ShutdownTimeout,
		Logger:                   asynqLog{l.log},
		LogLevel:                 asynq.InfoLevel,
	})
	return l
}

// forwardEvery is how often asynq looks for tasks whose time has come; their times have a grain of one second.
const forwardEvery = time.Second

// start begins to work on the lane.
func (l *lane) start() error {
	l.work.Go(l.sweeper.run)
	if err := l.server.Start(l); err != nil {
		l.sweeper.close()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	l.work.Go(func() { l.reconciler().run(ctx) })
	return nil
}

func (l *lane) reconciler() *reconciler {
	return &reconciler{
		lane: l.name, name: l.set.Name, ledger: l.ledger, vault: l.vault, tasks: l.tasks, log: l.log, count: l.count,
		every: l.set.ReconcileEvery, patience: max(30*time.Second, 2*l.set.ReconcileEvery),
		grace: l.ledger.Settings().Grace, orphans: l.set.OrphanAge,
	}
}

// stop ends the work: nothing new is fetched, tasks that wait go back at once, running attempts finish and are
// recorded. Past ShutdownTimeout asynq gives up on what still runs.
func (l *lane) stop() {
	l.server.Stop()
	close(l.stopping)
	giveUp := time.AfterFunc(l.set.ShutdownTimeout, func() { close(l.givingUp) })
	defer giveUp.Stop()
	l.server.Shutdown()
	l.end()
	l.sweeper.close()
	l.gate.close()
	l.work.Wait()
}

// upload makes the call, signed now.
func (l *lane) upload(ctx context.Context, run ledger.Running, voucher io.Reader) (pandapon.Receipt, error) {
	creds := l.creds
	if run.UserID != "" {
		creds.UserID = run.UserID
	}
	return l.api.Upload(ctx, pandapon.Upload{
		Credentials: creds, Nonce: run.Nonce, OrderID: run.OrderID, Voucher: voucher, Size: run.Size,
		Skew: l.skew.correction(),
	})
}
