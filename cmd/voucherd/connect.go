package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/vault"
)

// The sections of the settings that commands have flags for.
func querySections() []config.Section { return []config.Section{config.Connection} }

func producerSections() []config.Section { return []config.Section{config.Connection, config.Door} }

func workerSections() []config.Section {
	return []config.Section{
		config.Connection, config.Account, config.Delivery, config.Retries, config.Gate, config.Keeping, config.Upkeep,
		config.Logging,
	}
}

// storeSections are those that whoever reads or writes the ledger must agree on. A command without flags for some of
// them takes these from the environment.
func storeSections() []config.Section {
	return []config.Section{
		config.Connection, config.Door, config.Retries, config.Gate, config.Keeping, config.Upkeep,
	}
}

// store is the ledger and the vault, and a client of both.
type store struct {
	redis  redis.UniversalClient
	vault  vault.Vault
	ledger *ledger.Ledger
	tasks  *tasks.Client
}

// openStore opens what the settings name. It does not wait for Redis.
func openStore(ctx context.Context, cfg config.Config, conns int) (*store, error) {
	rdb, err := redisconn.Open(cfg.RedisURL, conns)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	v, err := vault.Open(ctx, cfg.Vault, rdb)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the vault (VOUCHERD_VAULT): %w", err), rdb.Close())
	}
	l := ledger.New(rdb, cfg.Ledger)
	return &store{redis: rdb, vault: v, ledger: l, tasks: tasks.New(tasks.Config{
		Redis: rdb, Vault: v, Ledger: l, MaxVoucherBytes: cfg.MaxVoucherBytes, MediaTypes: cfg.MediaTypes,
		Retention: cfg.TaskRetention,
	})}, nil
}

func (st *store) close() error { return errors.Join(st.vault.Close(), st.redis.Close()) }

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
	if err := st.answers(ctx, cfg.RedisURL, "VOUCHERD_REDIS_URL"); err != nil {
		return err
	}
	return do(ctx, st)
}

// answers returns nil if Redis answers. go-redis tries again within limits of its own, which do not follow a context,
// so a question that takes too long is left behind. setting is what the address is set by.
func (st *store) answers(ctx context.Context, address, setting string) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- st.redis.Ping(ctx).Err() }()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		if err = ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer")
		}
	}
	var said redis.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &said):
		return fmt.Errorf("redis at %s refuses to work: %w (%s)", where(address), err, setting)
	default:
		return fmt.Errorf("%w; is it running, and is %s right?",
			&tasks.UnreachableError{Addr: where(address), Err: err}, setting)
	}
}

// where gives the host, or the socket, of a Redis URL without user and password.
func where(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "its address"
	case u.Host == "":
		return u.Path
	default:
		return u.Host
	}
}
