package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

// doomed refuses some orders for good, whatever else the API does.
func doomed(orders []plan.Order) []sandbox.Fault {
	var all []sandbox.Fault
	for _, o := range orders {
		if o.Doomed {
			all = append(all, sandbox.Fault{
				Kind: sandbox.Refuse, Code: plan.FinalCode, Msg: "this order takes no vouchers", OrderID: o.ID,
			})
		}
	}
	return all
}

// strike lets the API fail as planned, and then be away altogether.
func (w *world) strike(ctx context.Context, p plan.Plan, began time.Time) {
	always := doomed(p.Orders)
	w.api.SetFaults(always...)
	for _, s := range p.Strikes {
		if !sleep(ctx, time.Until(began.Add(s.At))) {
			return
		}
		w.say("API: %s", describe(s.Fault))
		w.api.SetFaults(append([]sandbox.Fault{s.Fault}, always...)...)
	}
	if !sleep(ctx, time.Until(began.Add(p.Outage.From))) {
		return
	}
	w.say("API: away for %v", p.Outage.To-p.Outage.From)
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	sleep(ctx, time.Until(began.Add(p.Outage.To)))
	w.say("API: well again")
	w.api.SetFaults(always...)
}

// describe tells a fault in the words of the sandbox's flag.
func describe(f sandbox.Fault) string {
	s := fmt.Sprintf("%s for %v", f.Kind, time.Duration(f.For))
	if f.Probability > 0 {
		s += fmt.Sprintf(", probability %.2f", f.Probability)
	}
	if f.Status > 0 {
		s += fmt.Sprintf(", status %d", f.Status)
	}
	if f.Delay > 0 {
		s += fmt.Sprintf(", delay %v", time.Duration(f.Delay))
	}
	if f.RetryAfter != "" {
		s += ", Retry-After " + f.RetryAfter
	}
	if f.Before {
		s += ", before the API takes the voucher"
	}
	return s
}

// batter does to the processes what is planned, one thing after the other.
func (w *world) batter(ctx context.Context, blows []plan.Blow, began time.Time) error {
	for _, b := range blows {
		if !sleep(ctx, time.Until(began.Add(b.At))) {
			return nil
		}
		w.say("%s", b)
		if err := w.deal(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", b, err)
		}
	}
	return nil
}

func (w *world) deal(ctx context.Context, b plan.Blow) error {
	if b.Kind != plan.FlushQueue {
		w.busy(ctx)
	}
	switch b.Kind {
	case plan.KillWorker:
		w.fleet.kill(b.Worker)
		sleep(ctx, b.For)
		return w.fleet.start(b.Worker)
	case plan.StopWorker:
		w.fleet.stop(b.Worker, w.redis.awayAt)
		sleep(ctx, b.For)
		return w.fleet.start(b.Worker)
	case plan.PauseWorker:
		return w.fleet.pause(ctx, b.Worker, b.For)
	case plan.KillRedis:
		return w.redis.restart(ctx, b.For)
	case plan.PauseRedis:
		return w.redis.pause(ctx, b.For)
	case plan.FlushQueue:
		return w.flush(ctx, b.Account)
	case plan.LoseWrites:
		return w.failOver(ctx, b.For)
	default:
		return nil
	}
}

// busy waits a moment for calls to be under way: a blow that hits nobody proves nothing.
func (w *world) busy(ctx context.Context) {
	const enough, limit = 3, time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = w.api.Wait(ctx, func(all []sandbox.Request) bool { // if there are none it strikes all the same
		n := 0
		for i := len(all) - 1; i >= max(0, len(all)-100); i-- {
			if all[i].AnsweredAt.IsZero() {
				n++
			}
		}
		return n >= enough
	})
}

// flush deletes an account's queue as somebody would by hand.
func (w *world) flush(ctx context.Context, account string) error {
	const limit = 10 * time.Second // go-redis takes a moment to see that Redis is back
	var last error
	err := until(ctx, limit, "the queue's keys are deleted", func() bool {
		var keys []string
		keys, last = w.rdb.Keys(ctx, "asynq:{"+ledger.Queue(account)+"}:*").Result()
		if last == nil && len(keys) > 0 {
			last = w.rdb.Del(ctx, keys...).Err()
		}
		if last == nil {
			w.report.Flushed += len(keys)
		}
		return last == nil
	})
	return errors.Join(err, last)
}
