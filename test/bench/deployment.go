package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/bench/naive"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/proxy"
)

// The kinds of child.
const (
	kindWorker  = "worker"
	kindGateway = "gateway"
	kindNaive   = "naive"
	kindLoop    = "loop"
)

// system is what is measured.
type system struct {
	name, kind string
	file       bool          // vouchers lie in a directory
	retention  time.Duration // how long asynq keeps finished tasks
	webhook    string        // where events are sent; "": nowhere
}

func httpLoop() system   { return system{name: "http-loop", kind: kindLoop} }
func naiveQueue() system { return system{name: "naive", kind: kindNaive} }
func inRedis() system    { return system{name: "redis", kind: kindWorker} }
func inFiles() system    { return system{name: "file", kind: kindWorker, file: true} }

// hour is the same system with finished tasks kept for an hour, as voucherd does by default.
func (s system) hour() system {
	s.name, s.retention = s.name+"-1h", time.Hour
	return s
}

// setup says what is deployed.
type setup struct {
	system               system
	workers, concurrency int
	away                 time.Duration // how far Redis is, there and back
}

// deployment is a system at work: its workers, and its producers, which run in this process.
type deployment struct {
	setup

	b       *bench
	name    string
	redis   *process.Redis
	rdb     *redis.Client
	proxy   *proxy.Proxy // before redis; nil where that is not away
	env     map[string]string
	api     *api
	workers []*process.Process
	gateway *process.Process // nil until startGateway
	client  *http.Client     // of the gateway
	enqueue func(ctx context.Context, order string, raw []byte) error
	close   func() error // of the producers
	next    int          // number of the next upload
	idle    int64        // bytes of a worker before its first task
}

const (
	producersAtOnce = 16
	startLimit      = 30 * time.Second // a busy machine
	stopLimit       = 20 * time.Second
	accountName     = "default" // the one that the settings make
	firstOrder      = 7_000_000_000_000_000_000
)

// deploy starts a system. It must be stopped even after an error.
func (b *bench) deploy(ctx context.Context, s setup) (d *deployment, err error) {
	b.started++
	d = &deployment{setup: s, b: b, name: fmt.Sprintf("%s-%d", s.system.name, b.started), api: newAPI()}
	a := credentials()
	d.env = map[string]string{
		"VOUCHERD_STORE": "redis:", "VOUCHERD_CONCURRENCY": strconv.Itoa(s.concurrency), "PANDAPON_BASE_URL": d.api.server.URL,
		"PANDAPON_ACCESS_KEY": a.AccessKey, "PANDAPON_ACCESS_SECRET": a.Secret.Reveal(), "PANDAPON_USER_ID": a.UserID,
		"VOUCHERD_TASK_RETENTION": s.system.retention.String(),
	}
	if s.system.file {
		d.env["VOUCHERD_STORE"] = "file://" + d.storeDir()
		if err = os.Mkdir(d.storeDir(), 0o700); err != nil {
			return d, fmt.Errorf("make a directory for vouchers: %w", err)
		}
	}
	if s.system.webhook != "" {
		if err = d.setWebhook(); err != nil {
			return d, err
		}
	}
	if s.system.kind == kindLoop {
		return d, nil
	}
	if err = d.startRedis(ctx); err != nil {
		return d, err
	}
	if err = d.openProducers(ctx); err != nil {
		return d, err
	}
	for range s.workers {
		if err = d.startWorker(); err != nil {
			return d, err
		}
	}
	err = process.Until(ctx, startLimit, "the workers have told asynq of themselves", func() bool {
		return d.rdb.ZCard(ctx, "asynq:servers").Val() >= int64(s.workers)
	})
	u, uerr := d.use(ctx)
	d.idle = u.resident
	return d, errors.Join(err, uerr)
}

// startRedis starts a server as operators run it, but for rewriting the append-only file, which
// would fall into some measurements only.
func (d *deployment) startRedis(ctx context.Context) (err error) {
	dir := filepath.Join(d.b.dir, d.name+"-redis")
	if err = os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a directory for redis: %w", err)
	}
	d.redis, err = process.StartRedis(ctx, process.RedisOptions{Dir: dir, Args: []string{
		"--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction",
	}})
	if err != nil {
		return err
	}
	d.rdb = redis.NewClient(&redis.Options{Addr: d.redis.Addr, ReadTimeout: time.Minute})
	d.env["VOUCHERD_REDIS_URL"] = d.redis.URL()
	if d.away > 0 {
		if d.proxy, err = proxy.Listen(ctx, d.redis.Addr, nil); err != nil {
			return err
		}
		d.proxy.Set(proxy.Fault{Delay: d.away / 2})
		d.env["VOUCHERD_REDIS_URL"] = "redis://" + d.proxy.Addr + "/0"
	}
	return nil
}

func (d *deployment) storeDir() string { return filepath.Join(d.b.dir, d.name+"-store") }

// start starts a child. What it logs goes to a file.
func (d *deployment) start(name string, args []string, more ...string) (*process.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	env := append(os.Environ(), more...)
	for name, value := range d.env {
		env = append(env, name+"="+value)
	}
	if d.b.opts.Profiles != "" {
		env = append(env, profileEnv+"="+filepath.Join(d.b.opts.Profiles, name+".pprof"))
	}
	return process.Start(process.Program{
		Name: name, Path: self, Args: append([]string{childArgument}, args...), Env: env, Dir: d.b.dir,
	})
}

func (d *deployment) startWorker() error {
	p, err := d.start(fmt.Sprintf("%s-worker-%d", d.name, len(d.workers)+1), []string{d.system.kind})
	if err == nil {
		d.workers = append(d.workers, p)
	}
	return err
}

// stop ends the processes and removes what they stored.
func (d *deployment) stop() (err error) {
	for _, p := range append(d.workers, d.gateway) {
		if p == nil {
			continue
		}
		if ended, _ := p.Ended(); !ended {
			_, serr := p.Stop(stopLimit)
			err = errors.Join(err, serr)
		}
	}
	if d.close != nil {
		err = errors.Join(err, d.close())
	}
	d.api.close()
	if d.proxy != nil {
		err = errors.Join(err, d.proxy.Close())
	}
	if d.redis != nil {
		err = errors.Join(err, d.rdb.Close())
		d.redis.Kill()
	}
	return errors.Join(err, os.RemoveAll(d.storeDir()), os.RemoveAll(filepath.Join(d.b.dir, d.name+"-redis")))
}

// pause lets nothing be fetched from the queue, with asynq's own mark.
func (d *deployment) pause(ctx context.Context, on bool) error {
	queue := naive.Queue
	if d.system.kind == kindWorker {
		queue = ledger.Queue(accountName)
	}
	key := "asynq:{" + queue + "}:paused"
	if on {
		return d.rdb.Set(ctx, key, time.Now().Unix(), 0).Err()
	}
	return d.rdb.Del(ctx, key).Err()
}

// settled waits until the workers have done all that follows a delivery, and Redis has given back
// the memory of what was deleted.
func (d *deployment) settled(ctx context.Context) error {
	const every, limit, times, idle = 100 * time.Millisecond, 10 * time.Second, 3, 15
	before, err := process.ReadStats(ctx, d.rdb)
	for quiet, began := 0, time.Now(); err == nil && quiet < times && time.Since(began) < limit; quiet++ {
		process.Sleep(ctx, every)
		now, nerr := process.ReadStats(ctx, d.rdb)
		if now.Commands()-before.Commands() > float64(idle*len(d.workers)) || now["lazyfree_pending_objects"] > 0 {
			quiet = -1
		}
		before, err = now, nerr
	}
	return err
}
