package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/process"
)

// startGateway starts a gateway and gives the address that takes an order's voucher.
func (d *deployment) startGateway(ctx context.Context) (func(order string) string, error) {
	addr, err := process.FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	d.client = pooled(1)
	if d.gateway, err = d.start(d.name+"-gateway", []string{kindGateway}, listenEnv+"="+addr); err != nil {
		return nil, err
	}
	return func(order string) string { return "http://" + addr + "/v1/uploads?orderId=" + order },
		process.Until(ctx, startLimit, "the gateway is ready", func() bool {
			status, err := d.send(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
			return err == nil && status == http.StatusOK
		})
}

func (d *deployment) send(ctx context.Context, method, url string, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "image/jpeg")
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("call the gateway: %w", err)
	}
	return resp.StatusCode, resp.Body.Close()
}

// runStart sends vouchers to a real gateway at random moments, while the account is idle.
func (b *bench) runStart(ctx context.Context) error {
	const times, bytesEach, shortest, spread = 60, 20 << 10, 50 * time.Millisecond, 250 * time.Millisecond
	return b.rounds(func(round int) error {
		return b.run(ctx, b.one(inRedis().hour()), func(d *deployment) error {
			url, err := d.startGateway(ctx)
			if err != nil {
				return err
			}
			if err = d.warm(ctx, warmUp, bytesEach); err != nil {
				return err
			}
			random, raw := rand.New(rand.NewPCG(uint64(round), 0)), voucher(bytesEach) //nolint:gosec // a round is not negative
			var took []float64
			for range times {
				process.Sleep(ctx, shortest+time.Duration(random.Int64N(int64(spread))))
				d.api.reset(0, false)
				status, err := d.send(ctx, http.MethodPost, url(orderID(d.next)), raw)
				accepted := time.Now()
				if err != nil || status != http.StatusAccepted {
					return fmt.Errorf("the gateway answered %d: %w", status, err)
				}
				if n, _ := d.api.wait(ctx, 1, warmLimit); n < 1 {
					return fmt.Errorf("nothing arrived within %v", warmLimit)
				}
				took = append(took, d.api.calls()[0].at.Sub(accepted).Seconds()*1000)
				d.next++
			}
			s := &sample{name: "start/voucher=20KB", uploads: times}
			s.addQuantiles(took, "ms")
			b.keep(round, s)
			return nil
		})
	})
}

// runIdle counts what a worker asks of Redis that has nothing to do, alone and beside a gateway.
func (b *bench) runIdle(ctx context.Context) error {
	idle := 10 * time.Second
	if b.opts.Quick {
		idle /= 2
	}
	return b.rounds(func(round int) error {
		return b.run(ctx, b.one(inRedis().hour()), func(d *deployment) error {
			if err := d.warm(ctx, warmUp, small); err != nil {
				return err
			}
			for _, with := range []string{"worker", "worker+gateway"} {
				if with != "worker" {
					if _, err := d.startGateway(ctx); err != nil {
						return err
					}
				}
				rates, err := d.watch(ctx, idle)
				if err != nil {
					return err
				}
				s := &sample{name: "idle/processes=" + with, uploads: 1}
				s.add("commands/s", mean(rates))
				s.add("busiest-second", slices.Max(rates))
				b.keep(round, s)
			}
			return nil
		})
	})
}

// watch counts the commands that Redis carries out, second by second.
func (d *deployment) watch(ctx context.Context, lasts time.Duration) (rates []float64, err error) {
	before, err := process.ReadStats(ctx, d.rdb)
	for began, at := time.Now(), time.Now(); err == nil && time.Since(began) < lasts; {
		if !process.Sleep(ctx, time.Second) {
			return rates, context.Cause(ctx)
		}
		var now process.Stats
		if now, err = process.ReadStats(ctx, d.rdb); err != nil {
			break
		}
		rates = append(rates, (now.Commands()-before.Commands())/time.Since(at).Seconds())
		before, at = now, time.Now()
	}
	return rates, err
}

// runKill kills a worker whose slots are all in mid-call, and starts it again at once. The systems
// are killed at the same time: mostly they wait.
func (b *bench) runKill(ctx context.Context) error {
	systems := []system{inRedis().hour(), naiveQueue()}
	if b.opts.Quick {
		systems = systems[:1]
	}
	return b.rounds(func(round int) error {
		var g errgroup.Group
		samples := make([]*sample, len(systems))
		for i, sys := range systems {
			d, err := b.deploy(ctx, b.one(sys))
			g.Go(func() error {
				defer d.stop() //nolint:errcheck // how a worker ends that was killed before proves nothing
				if err == nil {
					samples[i], err = d.kill(ctx)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, s := range samples {
			b.keep(round, s)
		}
		return nil
	})
}

func (d *deployment) kill(ctx context.Context) (*sample, error) {
	const uploads, bytesEach, limit = 100, 20 << 10, 3 * time.Minute
	if err := d.warm(ctx, warmUp, bytesEach); err != nil {
		return nil, err
	}
	first := d.next
	d.api.reset(time.Minute, false)
	if _, _, err := d.put(ctx, uploads, bytesEach, warmLimit); err != nil {
		return nil, err
	}
	err := process.Until(ctx, warmLimit, "all slots are in mid-call", func() bool { return len(d.api.calls()) == d.concurrency })
	if err != nil {
		return nil, err
	}
	killed := time.Now()
	d.workers[0].Kill()
	d.api.delay.Store(0)
	if err = d.startWorker(); err != nil {
		return nil, err
	}
	d.workers = d.workers[1:]
	d.api.wait(ctx, uploads, limit)
	s := &sample{name: "kill/system=" + d.system.name, uploads: uploads}
	times := map[int]int{}
	var resumed []float64
	for _, c := range d.api.calls() {
		if times[c.order]++; times[c.order] == 2 {
			resumed = append(resumed, c.at.Sub(killed).Seconds())
		}
	}
	lost := 0
	for i := range uploads {
		if times[first+i] == 0 {
			lost++
		}
	}
	s.add("in-mid-call", float64(d.concurrency))
	s.add("lost", float64(lost))
	s.add("doubled", float64(len(resumed)))
	s.addQuantiles(resumed, "s")
	return s, nil
}

// runOutage lets much wait while the API is away, and counts what the worker asks of Redis.
func (b *bench) runOutage(ctx context.Context) error {
	return b.run(ctx, b.one(inRedis().hour()), func(d *deployment) error {
		if err := d.warm(ctx, warmUp, small); err != nil {
			return err
		}
		d.api.down.Store(true)
		if err := d.pause(ctx, true); err != nil {
			return err
		}
		if _, _, err := d.put(ctx, b.opts.Waiting, small, time.Hour); err != nil {
			return err
		}
		lasts := b.opts.Outage
		if b.opts.Quick {
			lasts = min(lasts, 40*time.Second)
		}
		found, err := d.findOut(ctx)
		if err != nil {
			return err
		}
		rates, err := d.watch(ctx, lasts)
		if err != nil {
			return err
		}
		const window = 10
		worst := 0.0
		for i := range len(rates) - window + 1 {
			worst = max(worst, mean(rates[i:i+window]))
		}
		s := &sample{name: fmt.Sprintf("outage/waiting=%d", b.opts.Waiting), uploads: b.opts.Waiting}
		s.add("finding-out", found)
		s.add("commands/s", mean(rates))
		s.add("worst-10-s", worst)
		s.add("busiest-second", slices.Max(rates))
		if !b.opts.Quick {
			back := time.Now()
			d.api.reset(0, false)
			d.api.down.Store(false)
			if n, _ := d.api.wait(ctx, 1, 2*time.Minute); n == 1 {
				s.add("first-call-after-s", d.api.calls()[0].at.Sub(back).Seconds())
			}
		}
		b.keep(1, s)
		return nil
	})
}

// findOut lets the worker fetch, and gives how many commands it takes until the breaker is open and
// no call is under way.
func (d *deployment) findOut(ctx context.Context) (float64, error) {
	before, err := process.ReadStats(ctx, d.rdb)
	if err != nil {
		return 0, err
	}
	if err = d.pause(ctx, false); err != nil {
		return 0, err
	}
	account := "voucherd:{" + ledger.Queue(accountName) + "}:"
	asked := 0
	err = process.Until(ctx, warmLimit, "the breaker is open", func() bool {
		asked += 2
		return d.rdb.HExists(ctx, account+"breaker", "reason").Val() && d.rdb.ZCard(ctx, account+"s:sending").Val() == 0
	})
	if err != nil {
		return 0, err
	}
	now, err := process.ReadStats(ctx, d.rdb)
	return now.Commands() - before.Commands() - float64(asked), err
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}
