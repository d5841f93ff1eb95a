package events

import (
	"cmp"
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
)

// Config is what a Sender needs. Redis, Ledger and Log are required, and stay the caller's.
type Config struct {
	Redis    redis.UniversalClient
	Ledger   *ledger.Ledger
	Log      *zap.Logger
	Webhooks []Webhook // at most one for each account
	Agent    string    // the User-Agent
	Settings Settings
	Observer Observer // nil: nobody counts
}

// Settings are a Sender's numbers. The zero value of a field stands for its default.
type Settings struct {
	Poll     time.Duration // how often it looks for what has ended; 1 s
	Timeout  time.Duration // of one call to a receiver; 15 s
	Parallel int           // most calls to a receiver at a time; 8
	Turn     time.Duration // after which another sender goes on for one that died; 30 s
	Backoff  time.Duration // first wait of an event that did not arrive, doubling; 5 s
	Longest  time.Duration // … up to this; 10 min
	DownFor  time.Duration // longest wait of a receiver that takes nothing at all; 1 min
	GiveUp   time.Duration // how long an event is tried that a receiver does not take while it takes others; 72 h
}

func (s Settings) withDefaults() Settings {
	s.Poll = cmp.Or(s.Poll, time.Second)
	s.Timeout = cmp.Or(s.Timeout, 15*time.Second)
	s.Parallel = cmp.Or(s.Parallel, 8)
	s.Turn = cmp.Or(s.Turn, 30*time.Second)
	s.Backoff = cmp.Or(s.Backoff, 5*time.Second)
	s.Longest = cmp.Or(s.Longest, 10*time.Minute)
	s.DownFor = cmp.Or(s.DownFor, time.Minute)
	s.GiveUp = cmp.Or(s.GiveUp, 72*time.Hour)
	return s
}

// Observer counts what a Sender does. It must be safe for concurrent use.
type Observer interface {
	// WebhookSent counts a try: delivered, failed or given_up.
	WebhookSent(account, result string, took time.Duration)
	// WebhookLag says since when the oldest event is under way that did not arrive yet; 0: all did.
	// It is said by the sender whose turn it is; negative when it no longer is.
	WebhookLag(account string, lag time.Duration)
}

type nopObserver struct{}

func (nopObserver) WebhookSent(string, string, time.Duration) {}
func (nopObserver) WebhookLag(string, time.Duration)          {}

// Sender sends webhooks. Any number of them may run: for each account one has its turn.
type Sender struct{ cfg Config }

// NewSender gives a sender. It touches nothing until Run.
func NewSender(cfg Config) *Sender {
	cfg.Settings = cfg.Settings.withDefaults()
	if cfg.Observer == nil {
		cfg.Observer = nopObserver{}
	}
	return &Sender{cfg}
}

// Begin notes that webhooks that are new begin with what ends from now on. Called before an account's
// first delivery, it lets no upload end that nobody is told of should the process die at once.
func (s *Sender) Begin(ctx context.Context) error {
	for _, hook := range s.cfg.Webhooks {
		now, err := s.cfg.Ledger.Now(ctx, hook.Account)
		if err != nil {
			return err
		}
		if err := (state{rdb: s.cfg.Redis, account: hook.Account}).begin(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

// Run sends until the context ends. What was under way then is sent again by whoever comes next.
func (s *Sender) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, hook := range s.cfg.Webhooks {
		a := &account{
			cfg: s.cfg, set: s.cfg.Settings, hook: hook, log: s.cfg.Log.With(zap.String("account", hook.Account)),
			to:    newReceiver(hook, s.cfg.Agent, s.cfg.Settings.Timeout, s.cfg.Settings.Parallel),
			state: state{rdb: s.cfg.Redis, account: hook.Account, me: rand.Text()},
		}
		all.Go(func() { a.run(ctx) })
	}
	all.Wait()
}

// account sends the events of one account.
type account struct {
	cfg   Config
	set   Settings
	hook  Webhook
	log   *zap.Logger
	to    *receiver
	state state
}

// run waits for its turn, and sends while it has it.
func (a *account) run(ctx context.Context) {
	defer a.to.client.CloseIdleConnections()
	for said := false; ctx.Err() == nil; {
		held, err := a.state.take(ctx, a.set.Turn)
		if err == nil && held {
			err = a.hold(ctx)
		}
		if err != nil && !said && ctx.Err() == nil {
			a.log.Warn("webhook.waiting", zap.Error(err))
		}
		said = err != nil
		pause(ctx, a.set.Poll)
	}
}

// hold sends until the context ends, the turn is lost or Redis fails.
func (a *account) hold(ctx context.Context) error {
	work, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { a.renew(work, cancel) })
	err := a.work(work)
	cancel()
	renewing.Wait()
	a.cfg.Observer.WebhookLag(a.hook.Account, -1)
	last, done := context.WithTimeout(context.WithoutCancel(ctx), redisLimit)
	defer done()
	return cmp.Or(err, a.state.release(last))
}

// redisLimit bounds what is done with Redis when it is over.
const redisLimit = 2 * time.Second

// renew keeps the turn, and ends the work when it is lost, or when Redis has not confirmed it for so
// long that it soon may be another's.
func (a *account) renew(ctx context.Context, lost context.CancelFunc) {
	defer lost()
	for last := time.Now(); time.Since(last) < a.set.Turn*2/3; {
		pause(ctx, a.set.Turn/6)
		asked := time.Now()
		held, err := a.state.take(ctx, a.set.Turn)
		switch {
		case ctx.Err() != nil || err == nil && !held:
			return
		case err == nil:
			last = asked
		}
	}
}

// work sends what has ended, from where the last sender stopped.
func (a *account) work(ctx context.Context) error {
	now, err := a.cfg.Ledger.Now(ctx, a.hook.Account)
	if err != nil {
		return err
	}
	saved, err := a.state.load(ctx, now)
	if err != nil {
		return err
	}
	w := &round{account: a, queue: newQueue(a.set), read: saved.cursor, progress: saved, announced: saved.told, results: make(chan result)}
	if err = w.resume(ctx); err != nil {
		return err
	}
	err = w.loop(ctx)
	w.drain(ctx)
	last, done := context.WithTimeout(context.WithoutCancel(ctx), redisLimit)
	defer done()
	return cmp.Or(err, w.save(last, true))
}
