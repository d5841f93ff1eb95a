package worker_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// healthyAgain ends a fault once the breaker is open for it, and waits until all is delivered.
func (b *bundle) healthyAgain(reason string, ids []string) {
	b.t.Helper()
	b.eventually("the breaker is open: "+reason, func() bool { return b.breakerReason() == reason })
	seen := len(b.api.Requests())
	// Probes go on, one at a time, and go to different uploads.
	b.eventually("probes", func() bool { return len(b.api.Requests()) >= seen+4 })
	b.api.SetFaults()
	b.reaches(ledger.Delivered, ids...)
	if r := b.breakerReason(); r != "" {
		b.t.Errorf("still open: %s", r)
	}
	b.agree(ids...)
}

func TestAccountFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		fault  sandbox.Fault
		reason string
		spent  int // most refusals that may have been counted before the breaker opened
	}{
		{"outage", sandbox.Fault{Kind: sandbox.Outage}, "outage", 0},
		{"lost answers", sandbox.Fault{Kind: sandbox.NotJSON}, "outage", 0},
		{"unauthorized", sandbox.Fault{Kind: sandbox.Unauthorized}, "credentials", 2},
		{"unknown code", sandbox.Fault{Kind: sandbox.Refuse, Code: 4711}, "refusing", 4},
		{"gone", sandbox.Fault{Kind: sandbox.Gone}, "endpoint", 2},
		{"not found", sandbox.Fault{Kind: sandbox.Status, Status: 404}, "endpoint", 2},
		{"throttle", sandbox.Fault{Kind: sandbox.Throttle}, "throttled", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.api.SetFaults(c.fault)
			ids := b.many(20)
			b.start("w1")
			b.start("w2")
			b.healthyAgain(c.reason, ids)
			spent := 0
			for _, id := range ids {
				spent += b.get(id).Refusals
			}
			if spent > c.spent {
				t.Errorf("%d refusals were counted, want at most %d", spent, c.spent)
			}
		})
	}
}

func TestOutageCostsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		b.ls.Breaker.OutageBase, b.ls.Breaker.OutageMax = 500*time.Millisecond, 500*time.Millisecond
	})
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	ids := b.many(300)
	started := time.Now()
	for i := range 3 {
		b.start(fmt.Sprintf("w%d", i))
	}
	b.eventually("the breaker is open", func() bool { return b.breakerReason() == "outage" })
	b.eventually("four probes", func() bool { return len(b.api.Requests()) >= 5+4 })
	held := time.Since(started)
	calls := len(b.api.Requests())
	if most := 5 + 3 + int(held/(400*time.Millisecond)) + 1; calls > most {
		t.Errorf("%d calls in an outage of %v, want at most %d", calls, held, most)
	}
	b.api.SetFaults()
	b.reaches(ledger.Delivered, ids...)
}

// TestOneBadUploadStandsAlone has one upload refused as if the account were wrong, in an account
// with nothing else to do: the next upload need not wait until the account's next probe.
func TestOneBadUploadStandsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.ls.Breaker.ProbeBase, b.ls.Breaker.ProbeMax = time.Hour, time.Hour })
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Unauthorized, OrderID: "bad"})
	b.start("w1")
	bad := b.enqueue("bad", 1)
	b.eventually("the breaker is open", func() bool { return b.breakerReason() == "credentials" })
	good := b.enqueue("good", 2)
	b.reaches(ledger.Delivered, good.ID)
	b.eventually("the bad one is rejected or held alone", func() bool {
		return b.get(bad.ID).State == ledger.Rejected || b.breakerReason() == "credentials"
	})
	b.reaches(ledger.Delivered, b.enqueue("good-too", 3).ID)
}

func TestThrottleHoldsAllWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const hold = 3 * time.Second
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Throttle, RetryAfter: "3", Times: 1})
	ids := b.many(50)
	b.start("w1")
	b.start("w2")
	b.reaches(ledger.Delivered, ids...)
	var throttled time.Time // by Redis' clock, as when each attempt began
	var all []ledger.Attempt
	for _, id := range ids {
		for _, a := range b.get(id).Attempts {
			if all = append(all, a); a.Outcome == ledger.OutcomeThrottled {
				throttled = a.EndedAt.Time
			}
		}
	}
	if throttled.IsZero() {
		t.Fatal("nothing was throttled")
	}
	for _, a := range all {
		if after := a.StartedAt.Sub(throttled); after > 0 && after < hold {
			t.Errorf("an attempt began %v after the account was held", after)
		}
	}
}

func TestSlotsGrowStepByStep(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.conc = 16 })
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(400 * time.Millisecond)})
	ids := b.many(80)
	b.start("w1")
	b.reaches(ledger.Delivered, ids...)
	most := 0
	for i, r := range b.api.Requests() {
		together := 0
		for _, o := range b.api.Requests()[:i+1] {
			if o.AnsweredAt.After(r.At) { // the API's log has a grain of a millisecond
				together++
			}
		}
		most = max(most, together)
		// After n answers at most n+1 may be under way: each success lets one more in.
		answered := i + 1 - together
		if together > answered+1 {
			t.Fatalf("request %d: %d under way after %d answers", r.Number, together, answered)
		}
	}
	if most < 8 {
		t.Errorf("at most %d were under way at a time, want more", most)
	}
}

func TestStoreAwayHoldsTheAccount(t *testing.T) {
	t.Parallel()
	v := &flaky{}
	b := setup(t, func(b *bundle) { b.store = v })
	v.Store = redisStore(b)
	ids := b.many(10)
	v.away.Store(true)
	b.start("w1")
	b.eventually("the breaker is open", func() bool { return b.breakerReason() == "store" })
	if n := len(b.api.Requests()); n != 0 {
		t.Errorf("%d requests without a voucher", n)
	}
	v.away.Store(false)
	b.reaches(ledger.Delivered, ids...)
	for _, id := range ids {
		if vs := b.outcomes(id); len(vs) != 1 {
			t.Errorf("attempts that sent nothing are recorded: %v", vs)
		}
	}
}

// unreadable is a blob store that gives some vouchers to nobody.
type unreadable struct {
	blob.Store

	sums map[string]bool
}

func (u *unreadable) Open(ctx context.Context, e blob.Entry) (io.ReadCloser, error) {
	if u.sums[e.SHA256] {
		return nil, errAway
	}
	return u.Store.Open(ctx, e)
}

// TestUnreadableVouchersStepAside has more vouchers that cannot be read than the worker has handlers:
// the others are delivered all the same.
func TestUnreadableVouchersStepAside(t *testing.T) {
	t.Parallel()
	v := &unreadable{sums: map[string]bool{}}
	b := setup(t, func(b *bundle) { b.store, b.conc = v, 2 })
	v.Store = redisStore(b)
	for i := range 3 {
		v.sums[b.enqueue("bad-"+strconv.Itoa(i), i).SHA256] = true
	}
	var ids []string
	for i := range 6 {
		ids = append(ids, b.enqueue("good-"+strconv.Itoa(i), 10+i).ID)
	}
	b.start("w1")
	b.reaches(ledger.Delivered, ids...)
}

func TestLostVoucherIsInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.enqueue("order", 1)
	b.must(b.rdb.Del(b.ctx, "voucherd:{"+ledger.Queue(b.account)+"}:b:"+u.ID[len(b.account)+1:]).Err())
	other := b.enqueue("other", 2)
	b.start("w1")
	b.reaches(ledger.Rejected, u.ID)
	b.reaches(ledger.Delivered, other.ID)
	if vs := b.outcomes(u.ID); len(vs) != 1 || vs[0] != ledger.OutcomeInvalid {
		t.Errorf("outcomes %v, want invalid", vs)
	}
}
