package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/test/bench/naive"
)

// The kinds of system.
const (
	kindPlain    = "plain"
	kindNaive    = "naive"
	kindVoucherd = "voucherd"
)

// system is what is measured.
type system struct {
	name      string
	kind      string
	file      bool // vouchers lie in a directory
	retention time.Duration
}

func plainLoop() system  { return system{name: "HTTP loop", kind: kindPlain} }
func naiveQueue() system { return system{name: "naive", kind: kindNaive} }
func inRedis() system    { return system{name: "redis store", kind: kindVoucherd} }
func inFiles() system    { return system{name: "file store", kind: kindVoucherd, file: true} }

// retained is the same system, with finished tasks kept for an hour, which is voucherd's default.
func (s system) retained() system {
	s.name, s.retention = s.name+", 1 h", time.Hour
	return s
}

// newService makes a child of its spec.
func newService(ctx context.Context, s spec) (*service, error) {
	c := &service{concurrency: s.Concurrency}
	switch {
	case s.System == kindPlain:
		c.startPlain(s)
		return c, nil
	case s.System == kindVoucherd && s.Worker:
		return c, c.startVoucherd(ctx, s)
	case s.System == kindVoucherd:
		st, err := openVoucherd(ctx, s, &c.trips)
		if err != nil {
			return nil, err
		}
		c.close = st.close
		c.send = patient(st.enqueue)
		return c, nil
	}
	rdb, err := openPlainRedis(s, &c.trips)
	if err != nil {
		return nil, err
	}
	c.close = rdb.Close
	if s.Worker {
		return c, c.startNaive(s, rdb)
	}
	c.send = patient(naive.NewProducer(rdb, s.Retention).Enqueue)
	return c, nil
}

// patient enqueues again when that fails, as the errors ask for: a Redis that writes hundreds of
// megabytes to a busy disk may answer late.
func patient(enqueue func(ctx context.Context, order string, raw []byte) error) func(context.Context, []byte) func(int) error {
	const tries = 3
	return func(ctx context.Context, raw []byte) func(int) error {
		return func(i int) (err error) {
			for range tries {
				if err = enqueue(ctx, orderID(i), raw); err == nil {
					return nil
				}
			}
			return err
		}
	}
}

// startPlain makes the yardstick: encode, sign and send in a loop, without queue or record. Nothing
// that delivers over HTTP can be faster by much.
func (c *service) startPlain(s spec) {
	client := pooled(s.Concurrency)
	c.close = func() error { client.CloseIdleConnections(); return nil }
	c.send = func(ctx context.Context, raw []byte) func(int) error {
		var body []byte // of this goroutine
		return func(i int) error {
			body = append(body[:0], uploadPrefix...)
			body = base64.StdEncoding.AppendEncode(body, raw)
			body = append(body, `","orderId":"`+orderID(i)+`"}`...)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, uploadURL(s.API), bytes.NewReader(body))
			if err != nil {
				return fmt.Errorf("make the request: %w", err)
			}
			naive.Sign(req, credentials())
			return naive.Send(client, req)
		}
	}
}

func (c *service) startNaive(s spec, rdb redis.UniversalClient) error {
	client := pooled(s.Concurrency)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: s.Concurrency, Queues: map[string]int{naive.Queue: 1}, LogLevel: asynq.WarnLevel,
	})
	err := server.Start(&naive.Handler{HTTP: client, URL: uploadURL(s.API), Credentials: credentials()})
	if err != nil {
		return errors.Join(fmt.Errorf("start the naive worker: %w", err), rdb.Close())
	}
	c.close = func() error {
		server.Shutdown()
		client.CloseIdleConnections()
		return rdb.Close()
	}
	return nil
}

func pooled(conns int) *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConns: conns, MaxIdleConnsPerHost: conns, DisableCompression: true},
	}
}

func credentials() pandapon.Credentials {
	return pandapon.Credentials{AccessKey: "0123456789abcdef0123456789abcdef", Secret: "bench-secret", UserID: "1"}
}

func uploadURL(base string) string { return base + pandapon.DefaultUploadPath }

// voucher makes the bytes of a voucher: a JPEG by its first bytes, noise behind them. The same size
// gives the same.
func voucher(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	copy(b, "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
	return b
}

// orderID gives the order of an upload: 19 digits, as PandaPon's have.
func orderID(i int) string { return fmt.Sprintf("7%018d", i) }

// connections is how many a process may have to Redis: what voucherd's own worker takes for its one
// account.
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

// openPlainRedis gives the client that go-redis makes by itself, as a handler written by hand has
// it.
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

// trips counts what a Redis client sends, as a go-redis hook.
type trips struct{ trips, commands atomic.Int64 }

// DialHook implements redis.Hook.
func (*trips) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (t *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.trips.Add(1)
		t.commands.Add(1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (t *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		t.trips.Add(1)
		t.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
