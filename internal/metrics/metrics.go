// Package metrics makes what workers and the gateway see available to Prometheus. What it exports,
// with names and labels, stands in docs/operations.md.
package metrics

import (
	"context"
	"errors"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/build"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// Metrics counts what one process does. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
	repairs  *prometheus.CounterVec
	enqueued *prometheus.HistogramVec
	requests *prometheus.HistogramVec
	redis    *prometheus.CounterVec
	refused  prometheus.Gauge
	webhooks webhooks
}

// New gives a process its metrics, those of the Go runtime included.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "voucherd_attempts_total", Help: "Attempts that this worker made, by outcome.",
		}, []string{"account", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "voucherd_attempt_duration_seconds", Help: "How long attempts took, from opening the voucher to the answer.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"account"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "voucherd_repairs_total", Help: "Tasks that the reconciler put because an unfinished upload had none.",
		}, []string{"account"}),
		enqueued: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "voucherd_enqueue_duration_seconds", Help: "How long it took to accept a voucher, or to refuse it.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"result"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "voucherd_http_request_duration_seconds",
			Help:    "How long the gateway's requests took, by route and HTTP status; 0: nothing was answered.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"route", "status"}),
		redis: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "voucherd_redis_errors_total", Help: "Commands to Redis that failed: away, or refused by it.",
		}, []string{"kind"}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "voucherd_accounts_refused", Help: "1 while the accounts file, or a file of a secret, is refused as it is now, else 0.",
		}),
		webhooks: newWebhooks(),
	}
	b := build.Read()
	m.registry.MustRegister(m.attempts, m.duration, m.repairs, m.enqueued, m.requests, m.redis, m.refused, m.webhooks.sent, m.webhooks.lag,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "voucherd_build_info", Help: "What this process was built from.",
			ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Commit, "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Attempted counts one attempt of a worker.
func (m *Metrics) Attempted(account string, outcome ledger.Outcome, took time.Duration) {
	m.attempts.WithLabelValues(account, string(outcome)).Inc()
	m.duration.WithLabelValues(account).Observe(took.Seconds())
}

// Repaired counts tasks that a reconciler put.
func (m *Metrics) Repaired(account string, tasks int) {
	m.repairs.WithLabelValues(account).Add(float64(tasks))
}

// Enqueued counts one voucher that was enqueued: accepted, duplicate, refused (the caller's fault)
// or failed (ours).
func (m *Metrics) Enqueued(result string, took time.Duration) {
	m.enqueued.WithLabelValues(result).Observe(took.Seconds())
}

// Requested counts one request that the gateway ended.
func (m *Metrics) Requested(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

// Refused says whether accounts that were read again were refused.
func (m *Metrics) Refused(refused bool) { m.refused.Set(truth(refused)) }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Watch counts the errors of a Redis client.
func (m *Metrics) Watch(rdb redis.UniversalClient) { rdb.AddHook(hook{m}) }

// WatchSpool exports what waits in the spool.
func (m *Metrics) WatchSpool(spooled func() (tasks.SpoolStatus, error)) {
	gauge := func(name, help string, value func(tasks.SpoolStatus) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s, err := spooled()
			if err != nil {
				return math.NaN()
			}
			return value(s)
		}))
	}
	gauge("voucherd_spool_vouchers", "Vouchers that wait in the spool for Redis to come back.",
		func(s tasks.SpoolStatus) float64 { return float64(s.Vouchers) })
	gauge("voucherd_spool_bytes", "Bytes of these vouchers.", func(s tasks.SpoolStatus) float64 { return float64(s.Bytes) })
	gauge("voucherd_spool_refused", "Vouchers of the spool that could not be enqueued and never can: somebody has to look.",
		func(s tasks.SpoolStatus) float64 { return float64(s.Refused) })
}

type hook struct{ m *Metrics }

// DialHook changes nothing.
func (h hook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts a command that failed.
func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h.count(err)
		return err
	}
}

// ProcessPipelineHook counts a pipeline that failed, once.
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		h.count(err)
		return err
	}
}

func (h hook) count(err error) {
	_, replied := errors.AsType[redis.Error](err)
	switch {
	case err == nil, errors.Is(err, redis.Nil), errors.Is(err, context.Canceled), redis.HasErrorPrefix(err, "NOSCRIPT"):
	case replied:
		h.m.redis.WithLabelValues("refused").Inc()
	default:
		h.m.redis.WithLabelValues("away").Inc()
	}
}
