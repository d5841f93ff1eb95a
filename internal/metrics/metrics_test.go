package metrics_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/internal/metrics"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// scrape gives the exported text.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, l+"\n") {
			t.Errorf("not exported: %s\n%s", l, text[strings.Index(text, "voucherd_"):])
		}
	}
}

// accounts counts how often it is asked.
type accounts struct {
	asked atomic.Int64
	err   error
}

func (l *accounts) Accounts(context.Context) ([]tasks.AccountStatus, error) {
	l.asked.Add(1)
	return []tasks.AccountStatus{{
		Account: "default", Reason: "outage", OldestAgeMS: 90_500, Uploads: map[ledger.State]int64{ledger.Waiting: 3},
		Workers: []ledger.WorkerInfo{
			{Name: "w1", Version: "v1", Live: true}, {Name: "w1", Version: "v1", Live: true}, {Name: "w2", Version: "v1"},
		},
	}}, l.err
}

func TestExports(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.WatchAccounts(&accounts{})
	m.Attempted("default", ledger.OutcomeUnclear, 300*time.Millisecond)
	m.Repaired("default", 4)
	m.Enqueued("accepted", time.Millisecond)
	m.WebhookSent("default", "failed", time.Millisecond)
	m.WebhookLag("default", 90*time.Second)
	m.Requested("GET /v1/uploads", 200, 30*time.Millisecond)
	has(t, scrape(t, m),
		`voucherd_attempts_total{account="default",outcome="unclear"} 1`,
		`voucherd_attempt_duration_seconds_bucket{account="default",le="0.5"} 1`,
		`voucherd_attempt_duration_seconds_bucket{account="default",le="0.25"} 0`,
		`voucherd_repairs_total{account="default"} 4`,
		`voucherd_enqueue_duration_seconds_count{result="accepted"} 1`,
		`voucherd_http_request_duration_seconds_bucket{route="GET /v1/uploads",status="200",le="0.05"} 1`,
		`voucherd_http_request_duration_seconds_bucket{route="GET /v1/uploads",status="200",le="0.025"} 0`,
		`voucherd_build_info{goversion="`+runtime.Version()+`",revision="unknown",version="devel"} 1`,
		`voucherd_uploads{account="default",state="waiting"} 3`,
		`voucherd_uploads{account="default",state="rejected"} 0`,
		`voucherd_oldest_unfinished_seconds{account="default"} 90.5`,
		`voucherd_breaker_open{account="default",reason="outage"} 1`,
		`voucherd_breaker_open{account="default",reason="store"} 0`,
		`voucherd_account_paused{account="default"} 0`,
		`voucherd_workers{account="default"} 2`,
		`voucherd_worker_info{account="default",version="v1",worker="w1"} 1`,
		`voucherd_ledger_up 1`,
		`voucherd_webhooks_total{account="default",result="failed"} 1`,
		`voucherd_webhook_lag_seconds{account="default"} 90`,
	)
}

func TestScrapingDoesNotLoadRedis(t *testing.T) {
	t.Parallel()
	m, l := metrics.New(), &accounts{}
	m.WatchAccounts(l)
	for range 50 {
		scrape(t, m)
	}
	if n := l.asked.Load(); n != 1 {
		t.Errorf("asked %d times for 50 scrapes", n)
	}
}

func TestLedgerDown(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.WatchAccounts(&accounts{err: errors.New("away")})
	has(t, scrape(t, m), `voucherd_ledger_up 0`)
}

func TestRedisErrors(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	s := redistest.Start(t, redistest.Options{})
	rdb, err := redisconn.Open(s.URL(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	m.Watch(rdb)
	ctx := t.Context()
	_ = rdb.Get(ctx, "nothing").Err()
	_ = rdb.Do(ctx, "nonsense").Err()
	_ = rdb.EvalSha(ctx, "0123456789012345678901234567890123456789", nil).Err()
	has(t, scrape(t, m), `voucherd_redis_errors_total{kind="refused"} 1`)
	s.Kill()
	_ = rdb.Ping(ctx).Err()
	has(t, scrape(t, m), `voucherd_redis_errors_total{kind="away"} 1`)
}
