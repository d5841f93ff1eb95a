package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/worker"
)

// accountName is the account that the settings make.
const accountName = "default"

// settings are voucherd's own, with the defaults that it ships with.
func settings(s spec) (config.Config, error) {
	a := credentials()
	given := map[string]config.Given{}
	for name, text := range map[string]string{
		"VOUCHERD_REDIS_URL": s.Redis, "VOUCHERD_STORE": s.Store,
		"VOUCHERD_CONCURRENCY": strconv.Itoa(s.Concurrency), "VOUCHERD_TASK_RETENTION": s.Retention.String(),
		"PANDAPON_BASE_URL": s.API, "PANDAPON_ACCESS_KEY": a.AccessKey, "PANDAPON_ACCESS_SECRET": a.Secret.Reveal(),
		"PANDAPON_USER_ID": a.UserID,
	} {
		given[name] = config.Given{Name: name, Text: text}
	}
	cfg, err := config.Load(config.Input{Given: given, Sections: []config.Section{
		config.Connection, config.PandaPon, config.Intake, config.Delivery, config.Retries, config.Breaker, config.Keeping,
		config.Upkeep, config.Logging,
	}})
	if err != nil {
		return cfg, fmt.Errorf("settings: %w", err)
	}
	return cfg, nil
}

// store is voucherd's ledger, blob store and client, as its commands open them.
type store struct {
	cfg    config.Config
	redis  redis.UniversalClient
	store  blob.Store
	ledger *ledger.Ledger
	tasks  *tasks.Client
}

func openVoucherd(ctx context.Context, s spec, t *trips) (*store, error) {
	rdb, err := openRedis(s, t)
	if err != nil {
		return nil, err
	}
	cfg, err := settings(s)
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	v, err := blob.Open(ctx, cfg.Store, rdb)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the blob store: %w", err), rdb.Close())
	}
	l := ledger.New(rdb, cfg.Ledger)
	return &store{cfg: cfg, redis: rdb, store: v, ledger: l, tasks: tasks.New(tasks.Config{
		Redis: rdb, Store: v, Ledger: l, InlineMost: cfg.InlineMost(), MaxVoucherBytes: cfg.MaxVoucherBytes, MediaTypes: cfg.MediaTypes,
		Retention: cfg.TaskRetention,
	})}, nil
}

func (st *store) close() error { return errors.Join(st.store.Close(), st.redis.Close()) }

func (st *store) enqueue(ctx context.Context, order string, raw []byte) error {
	_, err := st.tasks.Enqueue(ctx, tasks.Request{Account: accountName, OrderID: order, Voucher: bytes.NewReader(raw)})
	return err
}

// startVoucherd starts a worker as `voucherd worker` puts it together, its log included.
func (c *service) startVoucherd(ctx context.Context, s spec) error {
	st, err := openVoucherd(ctx, s, &c.trips)
	if err != nil {
		return err
	}
	queue, err := openRedis(s, &c.trips)
	if err != nil {
		return errors.Join(err, st.close())
	}
	account := st.cfg.Accounts[0]
	api, err := pandapon.NewClient(pandapon.Config{
		BaseURL: account.BaseURL, UploadPath: account.UploadPath, Rule: st.cfg.Rule,
		CallTimeout: st.cfg.Worker.CallTimeout, UserAgent: "voucherd/bench", MaxConns: account.Concurrency,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("make the API's client: %w", err), queue.Close(), st.close())
	}
	st.cfg.Worker.Name = fmt.Sprintf("bench:%d", os.Getpid())
	w, err := worker.New(worker.Config{
		QueueRedis: queue, Ledger: st.ledger, Store: st.store, Tasks: st.tasks, Log: logger(),
		Policy: st.cfg.Policy, Settings: st.cfg.Worker,
		Accounts: []worker.AccountConfig{{
			Name: account.Name, Credentials: account.Credentials, API: api, Concurrency: account.Concurrency,
		}},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("make the worker: %w", err), queue.Close(), st.close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	c.close = func() error {
		cancel()
		err := <-ended
		api.Close()
		return errors.Join(err, queue.Close(), st.close())
	}
	return nil
}

// logger writes what a worker in production writes: a line of JSON for every attempt.
func logger() *zap.Logger {
	e := zap.NewProductionEncoderConfig()
	e.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(e), zapcore.Lock(os.Stderr), zapcore.InfoLevel))
}
