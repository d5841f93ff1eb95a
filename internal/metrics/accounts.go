package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// accountSource is what tasks.Client knows of the accounts.
type accountSource interface {
	Accounts(ctx context.Context) ([]tasks.AccountStatus, error)
}

const (
	accountsFor   = 10 * time.Second // one look at Redis serves every scrape within this
	accountsLimit = 2 * time.Second  // for one look
)

// WatchAccounts exports how every account stands, as the ledger has it: the same from every
// process. However often it is scraped, Redis is asked once in ten seconds at most, and at a cost
// that does not grow with the number of uploads.
func (m *Metrics) WatchAccounts(from accountSource) {
	m.registry.MustRegister(&accountCollector{
		from: from,
		uploads: prometheus.NewDesc("voucherd_uploads", "Uploads in the ledger, by state.",
			[]string{"account", "state"}, nil),
		oldest: prometheus.NewDesc("voucherd_oldest_unfinished_seconds",
			"How long the unfinished upload that waits longest has waited, since it was enqueued or sent again; 0 when there is none.", []string{"account"}, nil),
		open: prometheus.NewDesc("voucherd_breaker_open", "1 for the reason for which the account's breaker is open, else 0.",
			[]string{"account", "reason"}, nil),
		paused: prometheus.NewDesc("voucherd_account_paused", "1 when the account's queue is paused in asynq.",
			[]string{"account"}, nil),
		workers: prometheus.NewDesc("voucherd_workers", "Workers of the account that live.", []string{"account"}, nil),
		worker: prometheus.NewDesc("voucherd_worker_info", "1 for each worker of the account that lives.",
			[]string{"account", "worker", "version"}, nil),
		up: prometheus.NewDesc("voucherd_ledger_up", "1 when the ledger could be read.", nil, nil),
	})
}

type accountCollector struct {
	from accountSource

	uploads, oldest, open, paused, workers, worker, up *prometheus.Desc

	mu       sync.Mutex
	read     time.Time
	accounts []tasks.AccountStatus
	err      error
}

// Describe implements prometheus.Collector.
func (c *accountCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.uploads, c.oldest, c.open, c.paused, c.workers, c.worker, c.up} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *accountCollector) Collect(out chan<- prometheus.Metric) {
	accounts, err := c.look()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.up, truth(err == nil))
	for _, l := range accounts {
		for _, s := range ledger.States() {
			gauge(c.uploads, float64(l.Uploads[s]), l.Account, string(s))
		}
		gauge(c.oldest, float64(l.OldestAgeMS)/1000, l.Account)
		gauge(c.paused, truth(l.Paused), l.Account)
		gauge(c.workers, float64(l.LiveWorkers()), l.Account)
		c.named(gauge, l)
		for _, r := range ledger.Reasons() { // all, so that an alert need not reckon with missing series
			gauge(c.open, truth(l.Reason == r), l.Account, r)
		}
	}
}

// named names the workers that live, each once: a worker that was started again has its name twice
// for some seconds.
func (c *accountCollector) named(gauge func(*prometheus.Desc, float64, ...string), l tasks.AccountStatus) {
	seen := map[[2]string]bool{}
	for _, w := range l.Workers {
		if k := [2]string{w.Name, w.Version}; w.Live && !seen[k] {
			seen[k] = true
			gauge(c.worker, 1, l.Account, w.Name, w.Version)
		}
	}
}

// look gives the accounts as they were at most ten seconds ago. What cannot be read is not asked
// for again at once, and gives no accounts: old numbers would look like new ones.
func (c *accountCollector) look() ([]tasks.AccountStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) >= accountsFor {
		ctx, cancel := context.WithTimeout(context.Background(), accountsLimit)
		defer cancel()
		c.accounts, c.err = c.from.Accounts(ctx)
		c.read = time.Now()
	}
	return c.accounts, c.err
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
