package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/proxy"
)

// way is a way through the network, and when it was not in order.
type way struct {
	*proxy.Proxy
	absences

	name string
}

// network is what lies between the processes of a run.
type network struct {
	producers, api *way // to Redis; between all workers and the API
	workers        []*way
	wire           wire // what passed to the API
}

// openNetwork gives every worker a way of its own to Redis, and the producers one too.
func (w *testbed) openNetwork(ctx context.Context) (err error) {
	n := &network{}
	w.network = n
	open := func(name, to string, tap proxy.Tap) *way {
		p, perr := proxy.Listen(ctx, to, tap)
		err = errors.Join(err, perr)
		return &way{Proxy: p, name: name}
	}
	n.api = open("workers to API", strings.TrimPrefix(w.server.URL, "http://"), n.wire.connection)
	n.producers = open("producers to redis", w.redis.Addr, nil)
	for _, m := range w.workers {
		n.workers = append(n.workers, open(m.name+" to redis", w.redis.Addr, nil))
	}
	if err != nil {
		return err
	}
	for i, m := range w.workers {
		m.vars = []string{"VOUCHERD_REDIS_URL=redis://" + n.workers[i].Addr + "/0", "PANDAPON_BASE_URL=http://" + n.api.Addr}
	}
	return nil
}

// runNetwork lets every process work, and the network between them fail in every way it knows.
func (w *testbed) runNetwork(ctx context.Context) error {
	p := plan.NewNetwork(w.planOptions())
	if err := w.openNetwork(ctx); err != nil {
		return err
	}
	n, cfg := w.network, w.settings.cfg
	cfg.RedisURL = "redis://" + n.producers.Addr + "/0"
	store, err := app.OpenStore(ctx, cfg, 0)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing is left to lose
	if err := w.startWorkers(); err != nil {
		return err
	}
	producers := w.newProducers()
	producers.client, producers.away = store.Tasks, n.producers.awayAt
	g, gctx := errgroup.WithContext(ctx)
	fail := func(x *way, faults []plan.NetworkFault) {
		g.Go(func() error { return w.failNetwork(gctx, x, faults, producers.began) })
	}
	fail(n.api, p.API)
	fail(n.producers, p.Producers)
	for i, x := range n.workers {
		fail(x, p.Workers[i])
	}
	g.Go(func() error { producers.run(gctx, p.Orders); return nil })
	if err := errors.Join(g.Wait(), context.Cause(ctx)); err != nil {
		return err
	}
	producers.report(w.report)
	return w.finish(ctx, producers.enqueued)
}

// failNetwork does to a way what is planned. It is in order again when whoever uses it had time to
// find its dead connections.
func (w *testbed) failNetwork(ctx context.Context, x *way, faults []plan.NetworkFault, began time.Time) error {
	const finds = 5 * time.Second
	for _, f := range faults {
		if !process.Sleep(ctx, time.Until(began.Add(f.At))) {
			return nil
		}
		w.say("%s: %s for %v", x.name, f.Name, f.For)
		_ = x.whileAway(finds, func() error {
			x.Set(f.Fault)
			process.Sleep(ctx, f.For)
			x.Set(proxy.Fault{})
			return nil
		})
	}
	return nil
}

// facts adds what the network knows, once all workers have stopped. Whose way to Redis is not in
// order may be taken for dead, as one that is frozen.
func (n *network) facts(f *audit.Facts, workers []*worker) {
	n.close()
	f.Wire = n.wire.passed()
	for i, m := range workers {
		spans := n.workers[i].spans()
		f.RedisAway = append(f.RedisAway, spans...)
		for _, name := range m.names {
			f.Frozen[name] = append(f.Frozen[name], spans...)
		}
	}
}

// close ends all connections.
func (n *network) close() {
	for _, x := range append(n.workers, n.producers, n.api) {
		if x != nil && x.Proxy != nil {
			_ = x.Close() // it may have been before
		}
	}
}
