// Package taskstest is voucherd for the tests of a producer: the real tasks.Client, on a Redis
// within the process. No worker runs; the test says what becomes of an upload. Nothing is sent
// anywhere.
//
//	func TestReceiptIsSent(t *testing.T) {
//		v := taskstest.New(t)
//		shop := NewShop(v.Client) // your code, which enqueues
//		id := shop.Paid("1022505290408395575", receipt)
//		v.Deliver(id)
//		…
//	}
package taskstest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// Voucherd is one test's own. It ends with the test. Its methods fail the test when they cannot do
// what they say; they are for the test's goroutine.
type Voucherd struct {
	Client *tasks.Client // what the code under test enqueues with; package events reads from it as well

	tb     testing.TB
	redis  *miniredis.Miniredis
	ledger *ledger.Ledger
}

// New starts one.
func New(tb testing.TB) *Voucherd {
	tb.Helper()
	mini := miniredis.RunT(tb)
	rdb := redis.NewClient(&redis.Options{Addr: mini.Addr(), MaxRetries: -1}) // a Redis that is away is noticed at once
	tb.Cleanup(func() { _ = rdb.Close() })
	l := ledger.New(rdb, ledger.Settings{})
	return &Voucherd{
		Client: tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), Ledger: l, InlineMost: ledger.InlineMost}),
		tb:     tb, redis: mini, ledger: l,
	}
}

// Deliver lets an attempt succeed: the upload is delivered, with a request id.
func (v *Voucherd) Deliver(id string) ledger.Upload {
	v.tb.Helper()
	return v.attempt(id, ledger.AttemptResult{
		Outcome: ledger.OutcomeDelivered, HTTPStatus: 200, Code: "200", RequestID: rand.Text(), Next: ledger.Delivered,
	})
}

// Reject lets an attempt be refused for good, with the code and message that PandaPon answers.
func (v *Voucherd) Reject(id, code, msg string) ledger.Upload {
	v.tb.Helper()
	return v.attempt(id, ledger.AttemptResult{
		Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: code, Msg: msg, RequestID: rand.Text(),
		Fault: ledger.FaultFinal, Next: ledger.Rejected,
	})
}

// Stop makes Redis unreachable until Start: enqueueing gives *tasks.UnreachableError.
func (v *Voucherd) Stop() { v.redis.Close() }

// Start ends Stop; what was enqueued before is still there.
func (v *Voucherd) Start() {
	v.tb.Helper()
	if err := v.redis.Restart(); err != nil {
		v.tb.Fatal(err)
	}
}

func (v *Voucherd) attempt(id string, result ledger.AttemptResult) ledger.Upload {
	v.tb.Helper()
	ctx := context.WithoutCancel(v.tb.Context())
	must := func(err error) {
		v.tb.Helper()
		if err != nil {
			v.tb.Fatalf("upload %q: %v", id, err)
		}
	}
	u, err := v.Client.Get(ctx, id)
	must(err)
	begun, err := v.ledger.Begin(ctx, ledger.NewAttempt{
		ID: id, Generation: u.Generation, Nonce: rand.Text(), Worker: "taskstest", Lease: time.Minute,
	})
	must(err)
	if begun.Answer != ledger.Started {
		v.tb.Fatalf("upload %q is %s, and no attempt may start: %s %s; an earlier voucher of its order comes first",
			id, u.State, begun.Answer, begun.Wait.Reason)
	}
	end, err := v.ledger.Finish(ctx, begun.Running, result)
	must(err)
	must(v.Client.Put(ctx, ledger.Task{ID: end.NextID, Generation: end.NextGen}, 0))
	u, err = v.Client.Get(ctx, id)
	must(err)
	return u
}
