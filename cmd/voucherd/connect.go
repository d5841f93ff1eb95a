package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// The sections of the settings that commands have flags for.
func querySections() []config.Section { return []config.Section{config.Connection} }

func producerSections() []config.Section { return []config.Section{config.Connection, config.Intake} }

func workerSections() []config.Section {
	return []config.Section{
		config.Connection, config.PandaPon, config.Delivery, config.Retries, config.Breaker, config.Keeping, config.Upkeep,
		config.Logging,
	}
}

// storeSections are those that whoever reads or writes the ledger must agree on. A command without flags for some of
// them takes these from the environment.
func storeSections() []config.Section {
	return []config.Section{
		config.Connection, config.Intake, config.Retries, config.Breaker, config.Keeping, config.Upkeep,
	}
}

// store is the ledger and the blob store, and a client of both.
type store struct {
	redis  redis.UniversalClient
	store  blob.Store
	ledger *ledger.Ledger
	tasks  *tasks.Client
}

// openStore opens what the settings name. It does not wait for Redis.
func openStore(ctx context.Context, cfg config.Config, conns int) (*store, error) {
	rdb, err := redisconn.Open(cfg.RedisURL, conns)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	v, err := blob.Open(ctx, cfg.Store, rdb)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the blob store (VOUCHERD_STORE): %w", err), rdb.Close())
	}
	l := ledger.New(rdb, cfg.Ledger)
	return &store{redis: rdb, store: v, ledger: l, tasks: tasks.New(tasks.Config{
		Redis: rdb, Store: v, Ledger: l, InlineMost: cfg.InlineMost(), MaxVoucherBytes: cfg.MaxVoucherBytes, MediaTypes: cfg.MediaTypes,
		Retention: cfg.TaskRetention,
	})}, nil
}

func (st *store) close() error { return errors.Join(st.store.Close(), st.redis.Close()) }

// redisSetting is what the address of Redis is set by.
const redisSetting = "VOUCHERD_REDIS_URL"

// answerLimit is how long a person waits for Redis to answer at all.
const answerLimit = 4500 * time.Millisecond

// withStore reads the settings, connects, and calls do. Redis must answer: a command that a person started shall not
// hang.
func (s *session) withStore(ctx context.Context, do func(context.Context, *store) error) (err error) {
	cfg, err := s.load(storeSections())
	if err != nil {
		return err
	}
	st, err := openStore(ctx, cfg, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if err := st.answers(ctx, redisSetting); err != nil {
		return err
	}
	return do(ctx, st)
}

// answers returns nil if Redis answers. go-redis tries again within limits of its own, which do not follow a context,
// so a question that takes too long is left behind. setting is what the address is set by.
func (st *store) answers(ctx context.Context, setting string) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- st.redis.Ping(ctx).Err() }()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	err = redisconn.Explain(st.redis, err)
	if _, away := errors.AsType[*redisconn.UnreachableError](err); away {
		return fmt.Errorf("%w; is it running, and is %s right?", err, setting)
	}
	return fmt.Errorf("%w (%s)", err, setting)
}

// awaitPause is how long a worker or gateway waits between two tries at its start.
const awaitPause = time.Second

// await waits until Redis answers or the context ends, and logs what is in the way as event.
func (st *store) await(ctx context.Context, log *zap.Logger, event string) {
	for {
		err := st.answers(ctx, redisSetting)
		if err == nil || ctx.Err() != nil {
			return
		}
		log.Warn(event, zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(awaitPause):
		}
	}
}
