package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/process"
)

const (
	storeRedis, storeFile, storeS3 = "redis", "file", "s3"

	cutFor    = 300 * time.Millisecond // well below the second after which the sentinels act
	producers = 8
)

// trial is one run: producers and two workers go on while Redis fails over, after a third of the
// vouchers and after two.
type trial struct {
	Ways     []string // of the failovers, in turn
	Fsync    string   // Redis' appendfsync
	Wait     bool     // a voucher is accepted once every replica has it
	Store    string
	Vouchers int
	Log      *zap.Logger // of the workers
}

// deployment is what a trial runs on.
type deployment struct {
	trial

	servers servers
	api     *sandbox.Sandbox
	server  *httptest.Server
	first   *app.Worker
	second  *app.Worker
	stop    func() error

	mu       sync.Mutex
	accepted map[string]time.Time // by upload id
}

// run does a trial in a directory of its own. s3 names a blob store in S3, for a trial that wants
// one.
func (t trial) run(ctx context.Context, s3 string) (f figures, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "voucherd-failover-")
	if err != nil {
		return f, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left there is no harm
	d := &deployment{trial: t, accepted: map[string]time.Time{}}
	if d.servers, err = startServers(ctx, dir, t.Ways[0], t.Fsync); err != nil {
		return f, err
	}
	defer d.servers.Kill()
	creds := pandapon.Credentials{AccessKey: "failoverkey", Secret: "failover-secret", UserID: "1"}
	d.api = sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{creds}, CheckNonce: true})
	d.server = httptest.NewServer(d.api)
	defer d.server.Close()
	defer d.api.Close()
	files := filepath.Join(dir, "store")
	if err = os.Mkdir(files, 0o700); err != nil {
		return f, fmt.Errorf("make a directory: %w", err)
	}
	store := map[string]string{storeRedis: "redis:", storeFile: "file://" + files, storeS3: s3}[t.Store]
	if err = d.startWorkers(ctx, creds, store); err != nil {
		return f, err
	}
	err = d.push(ctx)
	if err == nil {
		f, err = d.count(ctx)
	}
	return f, errors.Join(err, d.stop())
}

// startWorkers runs two workers.
func (d *deployment) startWorkers(ctx context.Context, creds pandapon.Credentials, store string) error {
	acks := 0
	if d.Wait {
		acks = replicasOf(d.servers)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g, running := errgroup.WithContext(ctx)
	d.stop = func() error { cancel(); return g.Wait() }
	for i, w := range []**app.Worker{&d.first, &d.second} {
		cfg, err := settings(
			"VOUCHERD_REDIS_URL="+d.servers.URL(), "VOUCHERD_STORE="+store, "PANDAPON_BASE_URL="+d.server.URL,
			"PANDAPON_ACCESS_KEY="+creds.AccessKey, "PANDAPON_ACCESS_SECRET="+creds.Secret.Reveal(), "PANDAPON_USER_ID="+creds.UserID,
			fmt.Sprintf("VOUCHERD_WORKER_NAME=worker-%d", i+1), fmt.Sprintf("VOUCHERD_REPLICAS_ACK=%d", acks), "VOUCHERD_REDIS_WAIT=60s",
			"VOUCHERD_SHUTDOWN_TIMEOUT=61s", "VOUCHERD_GRACE=2s", "VOUCHERD_BEAT_EVERY=500ms", "VOUCHERD_RECONCILE_EVERY=1s",
			"VOUCHERD_REDIS_PAUSE=200ms", "VOUCHERD_SHORT_SCHEDULE=200ms,1s",
		)
		if err != nil {
			return err
		}
		if *w, err = app.NewWorker(ctx, cfg, d.Log.Named(fmt.Sprintf("worker-%d", i+1)), "failover"); err != nil {
			return errors.Join(err, d.stop())
		}
		g.Go(func() error { return errors.Join((*w).Run(running), (*w).Close()) })
	}
	return nil
}

func settings(vars ...string) (config.Config, error) {
	in := config.Input{Sections: append(app.WorkerSections(), config.Intake), Given: map[string]config.Given{}}
	for _, v := range vars {
		name, text, _ := strings.Cut(v, "=")
		in.Given[name] = config.Given{Name: name, Text: text}
	}
	return config.Load(in)
}

// push enqueues all vouchers, a few at a time, fails over meanwhile, and waits until nothing is
// left to deliver.
func (d *deployment) push(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for p := range producers {
		g.Go(func() error { return d.produce(gctx, p) })
	}
	g.Go(func() error {
		for i := range 2 {
			enough := (i + 1) * d.Vouchers / 3
			if err := process.Until(gctx, time.Minute, "enough is accepted", func() bool { return d.taken() > enough }); err != nil {
				return err
			}
			if err := d.servers.failOver(gctx, d.Ways[i%len(d.Ways)]); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return d.settled(ctx)
}

func (d *deployment) taken() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.accepted)
}

// produce enqueues every n-th voucher, as a backend does: two for each order.
func (d *deployment) produce(ctx context.Context, from int) error {
	for i := from; i < d.Vouchers; i += producers {
		client := []*tasks.Client{d.first.Store.Tasks, d.second.Store.Tasks}[i%2]
		u, err := client.Enqueue(ctx, tasks.Request{
			OrderID: fmt.Sprintf("order-%d", i/(2*producers)*producers+from), Voucher: strings.NewReader(fmt.Sprintf("%%PDF-1.4 receipt %d", i)),
		})
		if err != nil {
			return fmt.Errorf("voucher %d: %w", i, err)
		}
		d.mu.Lock()
		d.accepted[u.ID] = time.Now()
		d.mu.Unlock()
	}
	return nil
}

// settled waits until nothing waits in the spool and nothing is unfinished.
func (d *deployment) settled(ctx context.Context) error {
	return process.Until(ctx, 3*time.Minute, "all is delivered", func() bool {
		spool, err := d.first.Store.Tasks.Spooled()
		all, err2 := d.first.Store.Tasks.Accounts(ctx)
		return errors.Join(err, err2) == nil && spool.Vouchers == 0 && (len(all) == 0 || all[0].Backlog == 0)
	})
}
