package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/test/bench/naive"
)

// The kinds of system.
const (
	kindPlain    = "plain"
	kindNaive    = "naive"
	kindVoucherd = "voucherd"
)

// connections is how many a process may have to Redis: what voucherd's own worker takes for its one account.
func connections(concurrency int) int { return 8 + 2*concurrency }

// openRedis gives a client whose round trips are counted.
func openRedis(s spec, t *trips) (redis.UniversalClient, error) {
	rdb, err := redisconn.Open(s.Redis, connections(s.Concurrency))
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	rdb.AddHook(t)
	return rdb, nil
}

// openPlainRedis gives the client that go-redis makes by itself, as a handler written by hand has it.
func openPlainRedis(s spec, t *trips) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(s.Redis)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	o.PoolSize = connections(s.Concurrency)
	rdb := redis.NewClient(o)
	rdb.AddHook(t)
	return rdb, nil
}

// producer enqueues.
type producer struct {
	spec    spec
	trips   trips
	enqueue func(ctx context.Context, order string, voucher []byte) error
	end     func() error
}

func newProducer(ctx context.Context, s spec) (*producer, error) {
	p := &producer{spec: s}
	if s.System == kindVoucherd {
		st, err := openVoucherd(ctx, s, &p.trips)
		if err != nil {
			return nil, err
		}
		p.enqueue, p.end = st.enqueue, st.close
		return p, nil
	}
	rdb, err := openPlainRedis(s, &p.trips)
	if err != nil {
		return nil, err
	}
	p.enqueue, p.end = naive.NewProducer(rdb, s.Retention).Enqueue, rdb.Close
	return p, nil
}

func (*producer) url() string { return "" }

func (p *producer) close() error { return p.end() }

func (p *producer) do(ctx context.Context, o order) (reply, error) {
	switch o.Do {
	case "usage":
		u, err := used(&p.trips)
		return reply{Usage: u}, err
	case "enqueue":
		raw := voucher(o.Size)
		return many(ctx, o, p.spec.Concurrency, func(ctx context.Context) func(int) error {
			return func(i int) error { return p.patiently(ctx, orderID(i), raw) }
		})
	default:
		return reply{}, errOrder
	}
}

// patiently enqueues again when that fails, as the errors ask for: a Redis that writes hundreds of megabytes to a busy
// disk may answer late.
func (p *producer) patiently(ctx context.Context, order string, raw []byte) error {
	const tries = 3
	var err error
	for range tries {
		if err = p.enqueue(ctx, order, raw); err == nil {
			return nil
		}
	}
	return err
}

// working is a worker of either kind.
type working struct {
	trips trips
	end   func() error
}

func newWorker(ctx context.Context, s spec) (*working, error) {
	w := &working{}
	var err error
	if s.System == kindVoucherd {
		w.end, err = startVoucherd(ctx, s, &w.trips)
	} else {
		w.end, err = startNaive(s, &w.trips)
	}
	return w, err
}

func (*working) url() string { return "" }

func (w *working) close() error { return w.end() }

func (w *working) do(_ context.Context, o order) (reply, error) {
	if o.Do != "usage" {
		return reply{}, errOrder
	}
	u, err := used(&w.trips)
	return reply{Usage: u}, err
}

func startNaive(s spec, t *trips) (stop func() error, err error) {
	rdb, err := openPlainRedis(s, t)
	if err != nil {
		return nil, err
	}
	client := pooled(s.Concurrency)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: s.Concurrency, Queues: map[string]int{naive.Queue: 1}, LogLevel: asynq.WarnLevel,
	})
	err = server.Start(&naive.Handler{HTTP: client, URL: uploadURL(s.API), Credentials: account()})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the naive worker: %w", err), rdb.Close())
	}
	return func() error {
		server.Shutdown()
		client.CloseIdleConnections()
		return rdb.Close()
	}, nil
}
