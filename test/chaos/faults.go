package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/plan"
	"github.com/voucherd/voucherd/test/process"
)

// refusals refuse some orders for good, whatever else the API does.
func refusals(orders []plan.Order) []sandbox.Fault {
	var all []sandbox.Fault
	for _, o := range orders {
		if o.Refused {
			all = append(all, sandbox.Fault{
				Kind: sandbox.Refuse, Code: plan.FinalCode, Msg: "this order takes no vouchers", OrderID: o.ID,
			})
		}
	}
	return all
}

// failAPI lets the API fail as planned, and then be away altogether.
func (w *testbed) failAPI(ctx context.Context, p plan.Plan, began time.Time) {
	always := refusals(p.Orders)
	w.api.SetFaults(always...)
	for _, f := range p.API {
		if !process.Sleep(ctx, time.Until(began.Add(f.At))) {
			return
		}
		w.say("API: %s for %v (probability %.2f, status %d, delay %v, Retry-After %q)", f.Fault.Kind, time.Duration(f.Fault.For),
			f.Fault.Probability, f.Fault.Status, time.Duration(f.Fault.Delay), f.Fault.RetryAfter)
		w.api.SetFaults(append([]sandbox.Fault{f.Fault}, always...)...)
	}
	if !process.Sleep(ctx, time.Until(began.Add(p.Outage.From))) {
		return
	}
	w.say("API: away for %v", p.Outage.To-p.Outage.From)
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	process.Sleep(ctx, time.Until(began.Add(p.Outage.To)))
	w.say("API: back")
	w.api.SetFaults(always...)
}

// failProcesses does to the processes what is planned, one thing after the other.
func (w *testbed) failProcesses(ctx context.Context, faults []plan.ProcessFault, began time.Time) error {
	for _, f := range faults {
		if !process.Sleep(ctx, time.Until(began.Add(f.At))) {
			return nil
		}
		w.say("%s", f)
		if err := w.fail(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

func (w *testbed) fail(ctx context.Context, f plan.ProcessFault) error {
	if f.Kind != plan.FlushQueue {
		w.waitForCalls(ctx)
	}
	worker := w.workers[f.Worker]
	switch f.Kind {
	case plan.KillWorker:
		worker.kill()
		process.Sleep(ctx, f.For)
		return worker.start()
	case plan.StopWorker:
		worker.stop(w.redis.awayAt)
		process.Sleep(ctx, f.For)
		return worker.start()
	case plan.FreezeWorker:
		return worker.freeze(ctx, f.For)
	case plan.KillRedis:
		return w.redis.restart(ctx, f.For)
	case plan.PauseRedis:
		return w.redis.pause(ctx, f.For)
	case plan.FlushQueue:
		return w.flush(ctx, f.Account)
	case plan.LoseWrites:
		return w.failOver(ctx, f.For)
	default:
		return nil
	}
}

// waitForCalls waits a moment for calls to be under way: a fault that hits nobody proves nothing.
// If there are none the fault comes all the same.
func (w *testbed) waitForCalls(ctx context.Context) {
	const enough = 3
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = w.api.Wait(ctx, func(all []sandbox.Request) bool {
		n := 0
		for _, r := range all[max(0, len(all)-100):] {
			if r.AnsweredAt.IsZero() {
				n++
			}
		}
		return n >= enough
	})
}

// flush deletes an account's queue as somebody would by hand.
func (w *testbed) flush(ctx context.Context, account string) error {
	const limit = 10 * time.Second // go-redis takes a moment to see that Redis is back
	var last error
	err := process.Until(ctx, limit, "the queue's keys are deleted", func() bool {
		var keys []string
		keys, last = w.Redis.Keys(ctx, "asynq:{"+ledger.Queue(account)+"}:*").Result()
		if last == nil && len(keys) > 0 {
			last = w.Redis.Del(ctx, keys...).Err()
		}
		return last == nil
	})
	return errors.Join(err, last)
}
