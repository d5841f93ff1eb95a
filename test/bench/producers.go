package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/bench/naive"
)

// openProducers opens what enqueues, with as many connections as a worker has.
func (d *deployment) openProducers(ctx context.Context) error {
	cfg, err := settings(func(name string) string { return d.env[name] })
	if err != nil {
		return err
	}
	if d.system.kind == kindNaive {
		rdb, rerr := plainRedis(cfg)
		if rerr != nil {
			return rerr
		}
		d.enqueue, d.close = naive.Producer(rdb, d.system.retention), rdb.Close
		return nil
	}
	st, err := app.OpenStore(ctx, cfg, connections(producersAtOnce))
	if err != nil {
		return err
	}
	d.close = st.Close
	d.enqueue = func(ctx context.Context, order string, raw []byte) error {
		_, err := st.Tasks.Enqueue(ctx, tasks.Request{Account: accountName, OrderID: order, Voucher: bytes.NewReader(raw)})
		return err
	}
	return nil
}

// connections is how many voucherd's own worker has to Redis for its one account.
func connections(concurrency int) int { return 8 + 2*concurrency }

// plainRedis gives the client that go-redis makes by itself, as a handler written by hand has it.
func plainRedis(cfg config.Config) (*redis.Client, error) {
	o, err := redis.ParseURL(cfg.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	o.PoolSize = connections(cfg.Accounts[0].Concurrency)
	return redis.NewClient(o), nil
}

// put enqueues so many vouchers of a size, or as many as it can within the limit.
func (d *deployment) put(ctx context.Context, n, size int, limit time.Duration) (int, time.Duration, error) {
	const tries = 3 // as the errors ask for: a Redis that writes much to a busy disk may answer late
	raw, from := voucher(size), d.next
	count, took, err := many(ctx, n, producersAtOnce, limit, func() func(int) error {
		return func(i int) (err error) {
			for range tries {
				if err = d.enqueue(ctx, orderID(from+i), raw); err == nil {
					return nil
				}
			}
			return err
		}
	})
	d.next += count
	return count, took, err
}

// many does something n times, several at a time, until the limit, and says how often and how long.
// Each gives one goroutine's loop body.
func many(ctx context.Context, n, atOnce int, limit time.Duration, each func() func(int) error) (int, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range atOnce {
		all.Go(func() {
			do := each()
			for ctx.Err() == nil && time.Since(began) < limit {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return int(done.Load()), time.Since(began), context.Cause(ctx)
}

// voucher makes the bytes of a voucher: a JPEG by its first bytes, noise behind them. The same size
// gives the same.
func voucher(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	copy(b, "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
	return b
}

// orderID gives the order of an upload: 19 digits, as PandaPon's have.
func orderID(i int) string { return strconv.Itoa(firstOrder + i) }
