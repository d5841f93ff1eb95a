package simulation

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/worker"
)

const (
	account     = "default"
	concurrency = 4
	deadAfter   = 90 * time.Second
	outageMax   = 3 * time.Minute // between two probes in an outage; users have 1 min
)

// settings are a worker's. What ticks while nothing happens is made longer: it is most of what a
// week costs. All else is as users have it.
func settings(name string) worker.Settings {
	return worker.Settings{
		Name: name, PollEvery: 2 * time.Minute, ReconcileEvery: 10 * time.Minute, BeatEvery: 30 * time.Second, DeadAfter: deadAfter,
	}
}

// process is one process of voucherd's: a worker, or the gateway.
type process struct {
	name     string
	link     *link // to Redis
	api      *link
	stopping context.Context //nolint:containedctx // its end is the process'
	stop     context.CancelFunc
	ended    chan struct{} // closed when nothing of it runs any more
	worker   *worker.Worker
	client   *pandapon.Client
	tasks    *tasks.Client
	ledger   *ledger.Ledger
	died     func() // told once when it is killed
	dead     atomic.Bool
	fuse     atomic.Int64 // calls to Redis until it dies; 0: it is not lit
	before   atomic.Bool  // it dies before that call leaves
}

// newProcess gives a process that can reach Redis.
func (w *week) newProcess(name string) (*process, redis.UniversalClient, blob.Store, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{
		name: name, link: newLink(name, w.redis.accept), api: newLink(name, w.api.conns.take), stopping: ctx, stop: cancel,
		ended: make(chan struct{}), died: func() {},
	}
	rdb, err := w.redis.client(p)
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	p.ledger = ledger.New(rdb, ledger.Settings{Breaker: ledger.BreakerSettings{OutageMax: outageMax}})
	store := blob.NewRedis(rdb)
	p.tasks = tasks.New(tasks.Config{Redis: rdb, Store: store, Ledger: p.ledger, InlineMost: ledger.InlineMost})
	return p, rdb, store, nil
}

// newWorker starts a process that delivers.
func (w *week) newWorker(name string) (*process, error) {
	p, rdb, store, err := w.newProcess(name)
	if err != nil {
		return nil, err
	}
	if p.client, err = pandapon.NewClient(pandapon.Config{BaseURL: "http://127.0.0.1:1", MaxConns: concurrency, Dial: p.api.dial}); err != nil {
		return nil, err
	}
	p.worker, err = worker.New(worker.Config{
		QueueRedis: &quiet{UniversalClient: rdb, process: p}, Ledger: p.ledger, Store: store, Log: w.log.Named(name), Settings: settings(name),
		Tasks: p.tasks, Accounts: p.accounts(w.api.creds()),
	})
	if err != nil {
		return nil, err
	}
	go func() {
		if err := p.worker.Run(p.stopping); err != nil {
			w.log.Error("worker.failed", zap.Error(err))
		}
		p.client.Close()
		_ = rdb.Close()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) accounts(c pandapon.Credentials) []worker.AccountConfig {
	return []worker.AccountConfig{{Name: account, Credentials: c, API: p.client, Concurrency: concurrency}}
}

// newGateway starts a gateway.
func (w *week) newGateway() (*process, *listener, error) {
	p, rdb, _, err := w.newProcess("gateway")
	if err != nil {
		return nil, nil, err
	}
	g, err := gateway.New(gateway.Config{Tasks: p.tasks, Redis: rdb, Log: zap.NewNop()})
	if err != nil {
		return nil, nil, err
	}
	l := newListener()
	go func() {
		if err := g.Serve(p.stopping, l); err != nil {
			w.log.Error("gateway.failed", zap.Error(err))
		}
		_ = rdb.Close()
		close(p.ended)
	}()
	return p, l, nil
}

// kill ends a process without goodbye: nothing leaves it any more. Its goroutines end by
// themselves, and reach nobody.
func (p *process) kill() {
	if p.dead.Swap(true) {
		return
	}
	p.link.end()
	p.api.end()
	p.died()
	p.stop()
}

// light has it die at its n-th next call to Redis, n from 1: before it leaves, or after its answer.
func (p *process) light(n int, before bool) {
	p.before.Store(before)
	p.fuse.Store(int64(n))
}

// burn makes a call to Redis, which may be the process' last.
func (p *process) burn(call func() error) error {
	if p.fuse.Load() == 0 || p.fuse.Add(-1) != 0 {
		return call()
	}
	if p.before.Load() {
		p.kill()
	}
	err := call()
	p.kill()
	return err
}

// quiet is Redis for asynq's servers, without what they send all the time for people who look, and
// without the subscription by which a person cancels tasks in asynqmon: go-redis pings it every 3 s.
type quiet struct {
	redis.UniversalClient

	process *process

	mu     sync.Mutex
	leased []redis.Z // what leases were last extended of
	at     time.Time
}

// ZAddXX extends leases: of the same tasks each 10 s, and not each 5 s. They last 30 s.
func (q *quiet) ZAddXX(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := map[any]bool{}
	for _, m := range q.leased {
		ids[m.Member] = true
	}
	unknown := slices.ContainsFunc(members, func(m redis.Z) bool { return !ids[m.Member] })
	if key == asynqKey("lease") && !unknown && time.Since(q.at) < 9*time.Second && q.process.link.is() == up {
		return redis.NewIntResult(0, nil)
	}
	cmd := q.UniversalClient.ZAddXX(ctx, key, members...)
	if cmd.Err() == nil {
		q.leased, q.at = members, time.Now()
	}
	return cmd
}

// EvalSha calls a script, but for the one in which a server says each 5 s that it is there.
func (q *quiet) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if strings.HasPrefix(keys[0], "asynq:servers:") {
		return redis.NewCmdResult("OK", nil)
	}
	return q.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

// ZAdd adds to a sorted set, but for those that list the servers.
func (q *quiet) ZAdd(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	if key == "asynq:servers" || key == "asynq:workers" {
		return redis.NewIntResult(0, nil)
	}
	return q.UniversalClient.ZAdd(ctx, key, members...)
}

var errQuiet = errors.New("no subscription in a simulation")

// Subscribe gives a subscription that is never confirmed.
func (q *quiet) Subscribe(ctx context.Context, _ ...string) *redis.PubSub {
	off := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // else a goroutine stays behind
	waiting := redis.NewClient(&redis.Options{DialerRetries: 1, MaintNotificationsConfig: off, Dialer: func(context.Context, string, string) (net.Conn, error) {
		<-q.process.stopping.Done()
		return nil, errQuiet
	}})
	return waiting.Subscribe(ctx)
}
