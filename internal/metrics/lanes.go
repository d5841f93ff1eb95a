package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// laneSource is what tasks.Client knows of the lanes.
type laneSource interface {
	Lanes(ctx context.Context) ([]tasks.LaneStatus, error)
}

const (
	lanesFor   = 10 * time.Second // one look at Redis serves every scrape within this
	lanesLimit = 2 * time.Second  // for one look
)

// WatchLanes exports how every lane stands, as the ledger has it: the same from every process. However often it is
// scraped, Redis is asked once in ten seconds at most, and at a cost that does not grow with the number of uploads.
func (m *Metrics) WatchLanes(from laneSource) {
	m.registry.MustRegister(&laneCollector{
		from: from,
		uploads: prometheus.NewDesc("voucherd_uploads", "Uploads in the ledger, by state.",
			[]string{"lane", "state"}, nil),
		oldest: prometheus.NewDesc("voucherd_oldest_unfinished_seconds",
			"Age of the oldest upload that is not finished; 0 when there is none.", []string{"lane"}, nil),
		shut: prometheus.NewDesc("voucherd_gate_shut", "1 for the reason for which the lane is held, else 0.",
			[]string{"lane", "reason"}, nil),
		paused: prometheus.NewDesc("voucherd_lane_paused", "1 when the lane's queue is paused in asynq.",
			[]string{"lane"}, nil),
		up: prometheus.NewDesc("voucherd_ledger_up", "1 when the ledger could be read.", nil, nil),
	})
}

// reasons are all there are; each is always exported, so that an alert need not reckon with missing series.
func reasons() []string {
	return []string{"outage", "throttled", "credentials", "endpoint", "refusing", "vault"}
}

type laneCollector struct {
	from                              laneSource
	uploads, oldest, shut, paused, up *prometheus.Desc

	mu    sync.Mutex
	read  time.Time
	lanes []tasks.LaneStatus
	err   error
}

// Describe implements prometheus.Collector.
func (c *laneCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.uploads, c.oldest, c.shut, c.paused, c.up} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *laneCollector) Collect(out chan<- prometheus.Metric) {
	lanes, err := c.look()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.up, truth(err == nil))
	for _, l := range lanes {
		for _, s := range ledger.States() {
			gauge(c.uploads, float64(l.Uploads[s]), l.Lane, string(s))
		}
		gauge(c.oldest, float64(l.OldestAgeMS)/1000, l.Lane)
		gauge(c.paused, truth(l.Paused), l.Lane)
		for _, r := range reasons() {
			gauge(c.shut, truth(l.Reason == r), l.Lane, r)
		}
	}
}

// look gives the lanes as they were at most ten seconds ago. What cannot be read is not asked for again at once, and
// gives no lanes: old numbers would look like new ones.
func (c *laneCollector) look() ([]tasks.LaneStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) >= lanesFor {
		ctx, cancel := context.WithTimeout(context.Background(), lanesLimit)
		defer cancel()
		c.lanes, c.err = c.from.Lanes(ctx)
		c.read = time.Now()
	}
	return c.lanes, c.err
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
