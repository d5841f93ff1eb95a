package app_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

// uploads is how many vouchers the failover tests push through.
//
//nolint:gochecknoglobals // flags of a test binary are
var uploads = flag.Int("uploads", 400, "vouchers of each failover test")

// TestSentinelFailoverLosesNothing fails over twice in the midst of a run, by the sentinels' own
// command and by a kill of the master. Every replica must have what is accepted: the master goes on
// for a while after the sentinels have chosen one of them.
func TestSentinelFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	s := redistest.Sentinel(t, 2, durable()...)
	r := newRun(t, s.URL(), 2)
	r.push(t, func(ctx context.Context, step int) error {
		if step == 0 {
			return s.FailOver(ctx, nil)
		}
		var was *process.Redis
		err := s.FailOver(ctx, func(m *process.Redis) error { was = m; m.Kill(); return nil })
		if err != nil {
			return err
		}
		return was.Start(ctx) // the sentinels make it a replica
	})
}

// TestClusterFailoverLosesNothing moves the account's slot to another master in the midst of a run,
// and kills the one that has it then.
func TestClusterFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, durable()...)
	r := newRun(t, c.URL(), 1)
	const slot = "voucherd:{vouchers-default}:"
	r.push(t, func(ctx context.Context, step int) error {
		if step == 1 {
			was, err := c.FailOver(ctx, slot)
			if err != nil {
				return err
			}
			return was.Start(ctx) // as a replica: the new master had no other
		}
		m, err := c.Migrate(ctx, slot)
		if err != nil {
			return err
		}
		n, err := m.Finish(ctx)
		t.Logf("%d keys moved", n)
		return err
	})
}

// run is a run of producers and two workers through failovers.
type run struct {
	first, second deployment

	mu       sync.Mutex
	accepted map[string]time.Time // by upload id
	slowest  time.Duration        // that Enqueue took
}

func newRun(t *testing.T, url string, replicas int) *run {
	t.Helper()
	vars := []string{
		fmt.Sprintf("VOUCHERD_REPLICAS_ACK=%d", replicas), "VOUCHERD_REDIS_WAIT=60s", "VOUCHERD_GRACE=2s", "VOUCHERD_BEAT_EVERY=500ms",
		"VOUCHERD_RECONCILE_EVERY=1s", "VOUCHERD_REDIS_PAUSE=200ms", "VOUCHERD_SHORT_SCHEDULE=200ms,1s",
	}
	first := deploy(t, url, append(vars, "VOUCHERD_WORKER_NAME=first")...)
	second := deployTo(t, first.server, first.api, url, append(vars, "VOUCHERD_WORKER_NAME=second")...)
	return &run{first: first, second: second, accepted: map[string]time.Time{}}
}

// push enqueues all vouchers, a few at a time, and fails over after a third and after two.
func (r *run) push(t *testing.T, failOver func(ctx context.Context, step int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const producers, steps = 8, 2
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for p := range producers {
		g.Go(func() error { return r.produce(ctx, p, producers) })
	}
	g.Go(func() error {
		for step := range steps {
			err := process.Until(ctx, time.Minute, "enough is accepted", func() bool { return r.count() > (step+1)**uploads/(steps+1) })
			if err != nil {
				return err
			}
			at, before := time.Now(), r.count()
			if err = failOver(ctx, step); err != nil {
				return err
			}
			took := time.Since(at)
			err = process.Until(ctx, time.Minute, "accepting resumes", func() bool { return r.count() > before+producers })
			t.Logf("step %d: failed over within %v; accepting again after %v", step, took.Round(time.Millisecond), time.Since(at).Round(time.Millisecond))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	accepted := time.Since(began)
	r.settled(t)
	t.Logf("%d accepted within %v (slowest %v), all delivered after %v", len(r.accepted), accepted.Round(time.Millisecond),
		r.slowest.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	r.audit(t)
}

func (r *run) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.accepted)
}

// produce enqueues every n-th voucher, as a backend does: two for each order.
func (r *run) produce(ctx context.Context, from, n int) error {
	for i := from; i < *uploads; i += n {
		client := []*tasks.Client{r.first.Store.Tasks, r.second.Store.Tasks}[i%2]
		began := time.Now()
		u, err := client.Enqueue(ctx, tasks.Request{
			OrderID: fmt.Sprintf("order-%d", i/(2*n)*n+from), Voucher: strings.NewReader(fmt.Sprintf("%%PDF-1.4 receipt %d", i)),
		})
		if err != nil {
			return fmt.Errorf("voucher %d: %w", i, err)
		}
		r.mu.Lock()
		r.accepted[u.ID] = time.Now()
		r.slowest = max(r.slowest, time.Since(began))
		r.mu.Unlock()
	}
	return nil
}

// settled waits until nothing is unfinished.
func (r *run) settled(t *testing.T) {
	t.Helper()
	var last any
	err := process.Until(t.Context(), 3*time.Minute, "all is delivered", func() bool {
		all, err := r.first.Store.Tasks.Accounts(t.Context())
		last = []any{all, err}
		return err == nil && len(all) == 1 && all[0].Backlog == 0
	})
	if err != nil {
		t.Fatal(err, last)
	}
}

// audit holds what was accepted and what the API saw against the ledger.
func (r *run) audit(t *testing.T) {
	t.Helper()
	known := map[string]bool{} // request ids
	lost, undelivered := 0, 0
	for id := range r.accepted {
		u, err := r.first.Store.Tasks.Get(t.Context(), id)
		switch {
		case err != nil:
			lost++
			t.Errorf("%s was accepted: %v", id, err)
		case u.State != ledger.Delivered:
			undelivered++
			t.Errorf("%s is %s", id, u.State)
		}
		for _, a := range u.Attempts {
			known[a.RequestID] = true
		}
	}
	unknown := 0
	requests := r.first.api.Requests()
	for _, q := range requests {
		if q.RequestID != "" && !known[q.RequestID] {
			unknown++
			t.Errorf("the ledger does not know call %s of %s at %s", q.RequestID, q.OrderID, q.At)
		}
	}
	t.Logf("%d lost, %d undelivered, %d calls, %d unknown", lost, undelivered, len(requests), unknown)
}
