package ledger_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// fresh opens an upload of an order of its own.
func (b *bundle) fresh() string {
	b.t.Helper()
	n, err := b.rdb.Incr(b.ctx, b.prefix()+"seq").Result()
	b.must(err)
	return b.open("fresh-"+strconv.FormatInt(n, 10), "receipt").ID
}

// trip makes attempts of different uploads end like this, n times.
func (b *bundle) trip(n int, o ledger.AttemptResult) {
	b.t.Helper()
	for range n {
		b.attempt(b.fresh(), o)
	}
}

// pass lets the breaker's hold pass.
func (b *bundle) pass() {
	b.t.Helper()
	b.later(b.breaker().Wait + time.Millisecond)
}

// probe makes the attempt of an account whose breaker is open and may be asked.
func (b *bundle) probe(o ledger.AttemptResult) ledger.FinishResult {
	b.t.Helper()
	run := b.started(b.fresh(), 1, "probe"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if !run.Probe {
		b.t.Fatalf("attempt %+v of an account whose breaker is open is no probe", run)
	}
	return b.finish(run, o)
}

// openFor asserts that the breaker is open for a reason, and for how long, give or take the jitter
// of a fifth.
func (b *bundle) openFor(reason string, d time.Duration) {
	b.t.Helper()
	g := b.breaker()
	if g.Reason != reason || g.Since.IsZero() || g.NextProbe.IsZero() {
		b.t.Fatalf("breaker %+v, want it open for %s", g, reason)
	}
	const slow = 2 * time.Second // of a machine that is busy
	if low, high := d*8/10-slow, d*12/10; g.Wait < low || g.Wait > high {
		b.t.Fatalf("breaker is open for %v, want %v to %v", g.Wait, low, high)
	}
}

func (b *bundle) isClosed() {
	b.t.Helper()
	if g := b.breaker(); g.Reason != "" || g.Wait != 0 || g.Probing || g.Step != 0 {
		b.t.Fatalf("breaker %+v, want it closed", g)
	}
}

func TestBreakerOutage(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(2, unavailable())
	b.trip(2, unclear())
	b.isClosed()
	rec := b.attempt(b.fresh(), unavailable())
	if rec.BreakerReason != "outage" || rec.BreakerWait <= 0 {
		t.Fatalf("recorded %+v, want the breaker open", rec)
	}
	id := b.fresh()
	for want := 5 * time.Second; want < 70*time.Second; want = min(2*want, time.Minute) {
		b.openFor("outage", want)
		if h := b.stopped(id, 1, "n", ledger.BreakerOpen); h.Reason != "outage" || h.For <= 0 || h.For > want*12/10 {
			t.Fatalf("held %+v, want it for about %v", h, want)
		}
		since := b.breaker().Since
		b.pass()
		b.probe(unavailable())
		if got := b.breaker().Since; !got.Before(since.Time) {
			t.Fatalf("open since %v, want it unchanged but for the time that passed: %v", got, since)
		}
		if want == time.Minute {
			break
		}
	}
	b.openFor("outage", time.Minute)
	b.pass()
	b.probe(delivered("r"))
	b.isClosed()
	b.trip(5, unclear())
	b.openFor("outage", 5*time.Second)
}

func TestBreakerOutageRowIsBrokenByAnyAnswer(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ledger.AttemptResult{
		"delivered": delivered("r"), "refused": refused(ledger.FaultRefusing), "refused for good": final(),
		"credentials": refused(ledger.FaultCredentials),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.trip(4, unavailable())
			b.attempt(b.fresh(), o)
			b.trip(4, unavailable())
			b.isClosed()
			b.trip(1, unavailable())
			b.openFor("outage", 5*time.Second)
		})
	}
}

func TestBreakerCountsNoAttemptThatSentNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(4, unavailable())
	b.attempt(b.fresh(), invalid())
	if g := b.breaker(); g.LastOutcome != ledger.OutcomeUnavailable {
		t.Errorf("last answer %+v, want what the API said last", g)
	}
	b.trip(1, unavailable())
	b.openFor("outage", 5*time.Second)
}

func TestBreakerUnavailableWithRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := unavailable()
	o.Hold = 10 * time.Minute
	b.attempt(b.fresh(), o)
	b.openFor("outage", 10*time.Minute)
	b.pass()
	b.probe(delivered("r"))
	b.isClosed()
}

func TestBreakerOneProbeAmongMany(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(5, unavailable())
	const n = 12
	var ids [n]string
	for i := range ids {
		ids[i] = b.fresh()
	}
	b.pass()
	var probes, held atomic.Int64
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			a := ledger.NewAttempt{ID: id, Generation: 1, Nonce: strconv.Itoa(i), Worker: "w", Lease: lease}
			g, err := b.Begin(b.ctx, a)
			switch {
			case err != nil:
				t.Error(err)
			case g.Answer == ledger.Started && g.Running.Probe:
				probes.Add(1)
			case g.Answer == ledger.BreakerOpen && g.Wait.For > 0:
				held.Add(1)
			}
		})
	}
	wg.Wait()
	if probes.Load() != 1 || held.Load() != n-1 {
		t.Fatalf("%d probes and %d held, want 1 and %d", probes.Load(), held.Load(), n-1)
	}
	if g := b.breaker(); !g.Probing {
		t.Errorf("breaker %+v, want a probe under way", g)
	}
}

func TestBreakerProbeIsRepeatable(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(5, unavailable())
	b.pass()
	id := b.fresh()
	first := b.started(id, 1, "probe")
	again := b.started(id, 1, "probe")
	if !first.Probe || !again.Probe {
		t.Fatalf("probes %+v and %+v: the reply to a repeated call differs", first, again)
	}
	b.finish(again, delivered("r"))
	b.isClosed()
}

func TestBreakerDeadProbeGivesItsTurnBack(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(5, unavailable())
	b.pass()
	b.started(b.fresh(), 1, "dead")
	b.stopped(b.fresh(), 1, "n", ledger.BreakerOpen)
	b.later(lease)
	b.probe(unavailable())
	b.openFor("outage", 10*time.Second)
}

func TestBreakerProbeThatSendsNothingGivesItsTurnBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bundle, ledger.Running){
		"released":   func(b *bundle, r ledger.Running) { b.must(b.Release(b.ctx, r, "")) },
		"no voucher": func(b *bundle, r ledger.Running) { b.finish(r, invalid()) },
		"released, retried": func(b *bundle, r ledger.Running) {
			b.must(b.Release(b.ctx, r, ""))
			b.must(b.Release(b.ctx, r, ""))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.trip(5, unavailable())
			b.pass()
			run := b.started(b.fresh(), 1, "probe")
			end(b, run)
			if g := b.breaker(); g.Probing || g.Reason != "outage" || g.Step != 0 {
				t.Fatalf("breaker %+v, want it open as before and nobody probing", g)
			}
			b.probe(delivered("r"))
			b.isClosed()
		})
	}
}

func TestBreakerOutageIsOpenedByAnySuccess(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rs := b.running(2)
	b.trip(5, unclear())
	b.finish(rs[0], unclear())
	b.openFor("outage", 5*time.Second)
	b.finish(rs[1], delivered("r"))
	b.isClosed()
}

func TestBreakerStore(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.must(b.Release(b.ctx, b.started(b.fresh(), 1, "n"), ledger.ReasonStore))
	b.openFor("store", 10*time.Second)
	b.pass()
	r := b.started(b.fresh(), 1, "probe")
	b.must(b.Release(b.ctx, r, ledger.ReasonStore))
	b.openFor("store", 20*time.Second)
	b.pass()
	b.probe(unavailable())
	b.openFor("outage", 5*time.Second)
	b.pass()
	b.probe(delivered("r"))
	b.isClosed()
}

// A voucher that cannot be read does not hold up those that can.
func TestBreakerOpenedByOneVoucherAlone(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{ledger.ReasonStore, ledger.ReasonIdentity} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			bad := b.fresh()
			b.must(b.Release(b.ctx, b.started(bad, 1, "n1"), reason))
			b.openFor(reason, 10*time.Second)
			if h := b.stopped(bad, 1, "n2", ledger.Early); h.For != 5*time.Second {
				t.Fatalf("early by %v, want 5 s", h.For)
			}
			b.probe(delivered("r"))
			b.isClosed()
			b.must(b.Release(b.ctx, b.started(bad, 1, "n3"), reason))
			other := b.started(b.fresh(), 1, "n4")
			b.must(b.Release(b.ctx, other, reason)) // so it is not this voucher
			b.stopped(b.fresh(), 1, "n5", ledger.BreakerOpen)
			b.stopped(bad, 1, "n6", ledger.BreakerOpen)
		})
	}
}

// Two attempts under way find the store away: all wait for the first hold.
func TestBreakerStoreIsAwayForTwo(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	for _, r := range b.running(2) {
		b.must(b.Release(b.ctx, r, ledger.ReasonStore))
	}
	b.stopped(b.fresh(), 1, "n", ledger.BreakerOpen)
	b.openFor("store", 10*time.Second)
}

// Nobody has called the API: a delivery of long ago says nothing of how it is now.
func TestBreakerIsNotClosedByAKnownDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	known := func(id string) {
		b.t.Helper()
		rec, err := b.RecordDelivery(b.ctx, id, ledger.Running{
			ID: id, Number: 1, Generation: 1, Nonce: "of long ago", Worker: "w", StartedAt: b.get(id).CreatedAt,
		}.Delivery(delivered("r")))
		b.must(err)
		if rec.State != ledger.Delivered || rec.BreakerReason != "outage" {
			t.Fatalf("recorded %+v, want it delivered and the breaker open", rec)
		}
	}
	b.trip(5, unavailable())
	known(b.fresh())
	b.openFor("outage", 5*time.Second)
	if g := b.breaker(); g.LastOutcome != ledger.OutcomeUnavailable {
		t.Errorf("last answer %+v, want what the API said last", g)
	}
	b.pass()
	run := b.started(b.fresh(), 1, "probe")
	b.must(b.Release(b.ctx, run, "")) // as a worker does that learns of the delivery
	known(run.ID)
	b.probe(unavailable())
	b.openFor("outage", 10*time.Second)
}
