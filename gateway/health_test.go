package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// ownRedis gives the gateway a Redis of its own, and readyz asks whether it answers.
func ownRedis(s **redistest.Server, o redistest.Options) option {
	return func(b *bundle) {
		*s = redistest.Start(b.t, o)
		b.rdb = (*s).Client()
		b.store = blob.NewRedis(b.rdb)
		b.cfg.Ready = func(ctx context.Context) error { return b.rdb.Ping(ctx).Err() }
	}
}

// fill has the Redis of 8 MB use over 80 % of its memory.
func fill(b *bundle) {
	for i := range 14 {
		b.must(b.rdb.Set(b.ctx, fmt.Sprint("ballast", i), strings.Repeat("x", 400_000), 0).Err())
	}
}

// readyz waits until readyz answers so.
func (b *bundle) readyz(status int, text string) {
	b.t.Helper()
	b.eventually(text, func() bool {
		a := b.get("", "/readyz")
		return a.status == status && strings.Contains(string(a.body), text)
	})
}

func TestNotReadyWithoutRoomInRedis(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{MaxMemory: "8mb"}))
	b.raw("1", png("x", 90))
	b.worker()
	b.readyz(http.StatusOK, `"ok"`)
	fill(b)
	b.readyz(http.StatusServiceUnavailable, "redis has no room")
	b.send(b.producer, "/v1/uploads?orderId=2", "image/png", png("x", 91)).want(http.StatusInsufficientStorage)
	page := string(b.browse(http.MethodGet, b.producer, "/", nil).want(http.StatusOK).body)
	if !strings.Contains(page, "No voucher is taken") || strings.Contains(page, "All accounts are delivering") {
		t.Error("the overview does not say that no voucher is taken")
	}
}

func TestNotReadyWithAFullSpool(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}))
	b.must(b.stop())
	b.must(b.tasks.OpenSpool(t.TempDir(), 1))
	b.serve()
	b.readyz(http.StatusOK, `"ok"`)
	s.Kill()
	b.readyz(http.StatusOK, "vouchers are taken into the spool, where 0 wait")
	b.raw("1", png("x", 90))
	b.readyz(http.StatusServiceUnavailable, "the spool is full")
	b.send(b.producer, "/v1/uploads?orderId=2", "image/png", png("x", 91)).want(http.StatusInsufficientStorage)
}

func TestAQueuePausedInAsynqIsDegraded(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}))
	b.raw("1", png("x", 90))
	b.worker()
	b.readyz(http.StatusOK, `"ok"`)
	b.must(asynq.NewInspectorFromRedisClient(b.rdb).PauseQueue(ledger.Queue(b.account)))
	b.readyz(http.StatusOK, "paused in asynq: 1 of the accounts")
}
