// Package app puts voucherd together from its settings: clients of Redis, blob store, ledger,
// worker and gateway. The commands, the demo and the harnesses for developers all take them from
// here.
package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/metrics"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// Store is the ledger and the blob store, and a client of both. It is safe for concurrent use.
type Store struct {
	Redis  redis.UniversalClient
	Blob   *blob.Encrypted
	Ledger *ledger.Ledger
	Tasks  *tasks.Client

	ReplicasAck int // replicas that must have an upload before it counts as accepted
}

// OpenStore opens what the settings name, with at most conns connections to Redis (0: as many as
// go-redis thinks fit). It does not wait for Redis. The caller closes the store.
func OpenStore(ctx context.Context, cfg config.Config, conns int) (*Store, error) {
	rdb, err := redisconn.Open(cfg.RedisURL, conns)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	return StoreOn(ctx, cfg, rdb)
}

// StoreOn is OpenStore for a client of Redis that is there already. Close closes the client too,
// and so does an error.
func StoreOn(ctx context.Context, cfg config.Config, rdb redis.UniversalClient) (*Store, error) {
	inner, err := blob.Open(ctx, cfg.Store, rdb)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the blob store (VOUCHERD_STORE): %w", err), rdb.Close())
	}
	b := blob.Encrypt(inner, cfg.Keys) // without keys too: it knows what others have encrypted
	l := ledger.New(rdb, cfg.Ledger)
	watchSteps(rdb, l)
	st := &Store{Redis: rdb, Blob: b, Ledger: l, ReplicasAck: cfg.ReplicasAck, Tasks: tasks.New(tasks.Config{
		Redis: rdb, Store: b, Keys: cfg.Keys, Ledger: l, InlineMost: cfg.InlineMost(), MaxVoucherBytes: cfg.MaxVoucherBytes, MediaTypes: cfg.MediaTypes,
		Retention: cfg.TaskRetention, Patience: cfg.RedisWait, ReplicasAck: cfg.ReplicasAck,
	})}
	dir, given := cfg.Spool, cfg.Spool != ""
	if path, ok := strings.CutPrefix(cfg.Store, "file://"); ok && !given {
		dir = filepath.Join(path, ".spool") // a file store is its own spool, for those who may write to it
	}
	if dir != "" {
		if err := st.Tasks.OpenSpool(dir, cfg.SpoolMost); err != nil && given {
			return nil, errors.Join(fmt.Errorf("open the spool (VOUCHERD_SPOOL): %w", err), st.Close())
		}
	}
	return st, nil
}

// RunSpool enqueues what waits in the spool, if there is one, until the context ends.
func (s *Store) RunSpool(ctx context.Context, log *zap.Logger) {
	said := ""
	s.Tasks.RunSpool(ctx, func(d tasks.Drained, err error) {
		for file, why := range d.Refused {
			log.Error("spool.refused", zap.String("file", file), zap.Error(why))
		}
		if d.Enqueued > 0 {
			log.Info("spool.enqueued", zap.Int("uploads", d.Enqueued))
		}
		if err == nil || ctx.Err() != nil {
			said = ""
		} else if text := err.Error(); text != said {
			said = text
			log.Warn("spool.waiting", zap.Error(err))
		}
	})
}

// Close closes the blob store and the client of Redis.
func (s *Store) Close() error { return errors.Join(s.Blob.Close(), s.Redis.Close()) }

// Metrics gives the metrics of a process that uses this store.
func (s *Store) Metrics() *metrics.Metrics {
	m := metrics.New()
	m.Watch(s.Redis)
	m.WatchAccounts(s.Tasks)
	if s.Tasks.Spools() {
		m.WatchSpool(s.Tasks.Spooled)
	}
	return m
}

// Ready says whether vouchers can be stored: nil, or why not.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.Redis.Ping(ctx).Err(); err != nil {
		return redisconn.Explain(s.Redis, err)
	}
	return s.Blob.Check(ctx)
}

const (
	answerLimit = 4500 * time.Millisecond // how long a person waits for Redis to answer at all
	awaitPause  = time.Second             // between two tries of a worker or gateway at its start
)

// Answers returns nil if Redis answers. go-redis tries again within limits of its own, which do not
// follow a context, so a question that takes too long is left behind. The setting is what the
// address of Redis was set by.
func (s *Store) Answers(ctx context.Context, setting string) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- s.Redis.Ping(ctx).Err() }()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	err = redisconn.Explain(s.Redis, err)
	if _, away := errors.AsType[*redisconn.UnreachableError](err); away {
		return fmt.Errorf("%w; is it running, and is %s right?", err, setting)
	}
	return fmt.Errorf("%w (%s)", err, setting)
}

// RedisSetting is what the address of Redis is set by.
const RedisSetting = "VOUCHERD_REDIS_URL"

// Await waits until Redis answers or the context ends, and logs what is in the way as event.
func (s *Store) Await(ctx context.Context, log *zap.Logger, event string) {
	_ = retry(ctx, log, event, func() error { return s.Answers(ctx, RedisSetting) }, nil) // it ends with the context
}

// Bind binds the accounts to this blob store, once Redis answers; until then it logs what is in the
// way as event. The error is ledger.ErrOtherStore when an account's vouchers lie elsewhere; nil
// when the context ended.
func (s *Store) Bind(ctx context.Context, accounts []config.Account, log *zap.Logger, event string) error {
	return retry(ctx, log, event, func() error { return s.BindNow(ctx, accounts) }, ledger.ErrOtherStore)
}

// BindNow is Bind for a Redis that answers.
func (s *Store) BindNow(ctx context.Context, accounts []config.Account) error {
	for _, a := range accounts {
		if err := s.Tasks.Bind(ctx, a.Name); err != nil {
			return fmt.Errorf("bind account %s to the blob store: %w", a.Name, err)
		}
	}
	return nil
}

// retry calls do until it succeeds, gives the final error, or the context ends, which gives nil.
func retry(ctx context.Context, log *zap.Logger, event string, do func() error, final error) error {
	for {
		err := do()
		switch {
		case err == nil, ctx.Err() != nil:
			return nil //nolint:nilerr // an error of a context that ended is no news
		case final != nil && errors.Is(err, final):
			return err
		}
		log.Warn(event, zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(awaitPause):
		}
	}
}
