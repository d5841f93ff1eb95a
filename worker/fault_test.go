package worker_test

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/worker"
)

// TestEveryFault lets each way to fail strike one upload once, and looks at the outcome and at what
// follows.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		fault   sandbox.Fault
		outcome ledger.Outcome
		arrived int // how often the API took the voucher in the end
	}{
		{"outage", sandbox.Fault{Kind: sandbox.Outage}, ledger.OutcomeUnavailable, 1},
		{"hang", sandbox.Fault{Kind: sandbox.Hang}, ledger.OutcomeUnclear, 2},
		{"hang before", sandbox.Fault{Kind: sandbox.Hang, Before: true}, ledger.OutcomeUnclear, 1},
		{"reset", sandbox.Fault{Kind: sandbox.Reset}, ledger.OutcomeUnclear, 2},
		{"cut off", sandbox.Fault{Kind: sandbox.CutOff}, ledger.OutcomeUnclear, 2},
		{"not JSON", sandbox.Fault{Kind: sandbox.NotJSON}, ledger.OutcomeUnclear, 2},
		{"throttle", sandbox.Fault{Kind: sandbox.Throttle, RetryAfter: "0"}, ledger.OutcomeThrottled, 1},
		{"unauthorized", sandbox.Fault{Kind: sandbox.Unauthorized}, ledger.OutcomeRefused, 1},
		{"gone", sandbox.Fault{Kind: sandbox.Gone}, ledger.OutcomeRefused, 1},
		{"refuse", sandbox.Fault{Kind: sandbox.Refuse, Code: 4711}, ledger.OutcomeRefused, 1},
		{"redirect", sandbox.Fault{Kind: sandbox.Status, Status: 302}, ledger.OutcomeUnclear, 1},
		{"bad gateway", sandbox.Fault{Kind: sandbox.Status, Status: 502}, ledger.OutcomeUnclear, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(b *bundle) { b.set.CallTimeout = 4 * time.Second })
			c.fault.Times = 1
			b.api.SetFaults(c.fault)
			u := b.enqueue("order", 1)
			b.start("w1")
			b.reaches(ledger.Delivered, u.ID)
			if vs := b.outcomes(u.ID); len(vs) != 2 || vs[0] != c.outcome || vs[1] != ledger.OutcomeDelivered {
				t.Errorf("outcomes %v, want %s, delivered", vs, c.outcome)
			}
			arrived := 0
			for _, r := range b.api.Requests() {
				if r.Accepted {
					arrived++
				}
			}
			if arrived != c.arrived {
				t.Errorf("the API took it %d times, want %d", arrived, c.arrived)
			}
			b.agree(u.ID)
		})
	}
}

func TestSlowIsNoFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(700 * time.Millisecond)})
	u := b.enqueue("order", 1)
	b.start("w1")
	b.reaches(ledger.Delivered, u.ID)
	if vs := b.outcomes(u.ID); len(vs) != 1 {
		t.Errorf("outcomes %v, want one", vs)
	}
}

func TestRefusalBudget(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.policy.RefusalBudget = 3 })
	b.start("w1")
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: 4711, Msg: "no such order", OrderID: "bad"})
	bad := b.enqueue("bad", 1)
	good := b.many(10)
	b.reaches(ledger.Delivered, good...)
	b.reaches(ledger.Rejected, bad.ID)
	u := b.get(bad.ID)
	if u.AttemptCount != 3 || u.Refusals != 3 || u.Code != "4711" || u.Msg != "no such order" || !u.Kept() {
		t.Errorf("rejected as %+v", u)
	}
	b.api.SetFaults()
	if _, err := b.client.Retry(b.ctx, bad.ID, ledger.Who{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("the retried upload is delivered", func() bool { return b.get(bad.ID).State == ledger.Delivered })
}

func TestFinalCodeRejectsAtOnceAndRetryAllDelivers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.policy.CodesFinal = []string{"4711"} })
	b.start("w1")
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: 4711})
	ids := b.many(60)
	b.reaches(ledger.Rejected, ids...)
	b.api.SetFaults()
	page, err := b.client.List(b.ctx, ledger.Query{Account: b.account, State: ledger.Rejected, Limit: 1000})
	b.must(err)
	if len(page.Uploads) != len(ids) {
		t.Fatalf("%d are listed as rejected, want %d", len(page.Uploads), len(ids))
	}
	for _, u := range page.Uploads {
		_, err := b.client.Retry(b.ctx, u.ID, ledger.Who{})
		b.must(err)
	}
	b.reaches(ledger.Delivered, ids...)
}

func TestExpires(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		b.policy.MaxAge = 500 * time.Millisecond
		b.policy.Short = []time.Duration{20 * time.Millisecond}
		b.ls.Breaker.OutageRow = 1000
	})
	b.start("w1")
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	u := b.enqueue("order", 1)
	b.reaches(ledger.Expired, u.ID)
	b.api.SetFaults()
	_, err := b.client.Retry(b.ctx, u.ID, ledger.Who{})
	b.must(err)
	b.reaches(ledger.Delivered, u.ID)
}

func TestInterruptedAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.enqueue("order", 1)
	// A worker that died right after Begin: its attempt stands, and its lease has run out.
	_, err := b.ledger.Begin(b.ctx, ledger.NewAttempt{
		ID: u.ID, Generation: u.Generation, Nonce: "dead", Worker: "killed", Lease: time.Millisecond,
	})
	b.must(err)
	b.start("w1")
	b.reaches(ledger.Delivered, u.ID)
	if vs := b.outcomes(u.ID); len(vs) != 2 || vs[0] != ledger.OutcomeInterrupted || vs[1] != ledger.OutcomeDelivered {
		t.Errorf("outcomes %v, want interrupted, delivered", vs)
	}
}

func TestUnreadableTaskIsDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start("w1")
	b.putRaw("garbage", []byte("{"))
	b.eventually("the task is dropped", func() bool { return b.queued() == 0 })
	if n := b.logs.FilterMessage("task.unreadable").Len(); n != 1 {
		t.Errorf("%d lines about it, want 1", n)
	}
	b.putRaw("newer", []byte(`{"v":2,"id":"x","gen":1}`))
	b.eventually("a newer task is given back", func() bool { return b.retrying() == 1 })
}

func TestPolicyDefaultsAreDocumented(t *testing.T) {
	t.Parallel()
	p := worker.Policy{}.WithDefaults()
	if p.RefusalBudget != 8 || p.MaxAge != 168*time.Hour || p.Jitter != 0.2 {
		t.Errorf("defaults %+v", p)
	}
}
