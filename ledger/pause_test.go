package ledger_test

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func (b *bundle) pause(long time.Duration) {
	b.t.Helper()
	b.must(b.Pause(b.ctx, b.account, "audit\tof orders", "li-na", long))
}

// paused asserts that nothing starts, not even a probe.
func (b *bundle) paused() {
	b.t.Helper()
	g := b.breaker()
	if g.Reason != "paused" || g.Probing || g.Pause == nil || g.Pause.Reason != "audit of orders" || g.Pause.By != "li-na" || g.Since.IsZero() {
		b.t.Fatalf("breaker %+v, want it held by a person", g)
	}
	if h := b.stopped(b.fresh(), 1, "n", ledger.BreakerOpen); h.Reason != "paused" || h.For <= 0 || h.For > 5*time.Second {
		b.t.Fatalf("held %+v, want to be asked again soon", h)
	}
}

func TestPauseUntilResumed(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rs := b.running(2)
	b.pause(0)
	b.paused()
	if rec := b.finish(rs[0], delivered("r1")); rec.State != ledger.Delivered || rec.BreakerReason != "paused" || rec.BreakerWait <= 0 {
		t.Fatalf("recorded %+v, want it delivered, and the others held", rec)
	}
	b.paused()
	b.finish(rs[1], unavailable())
	b.later(30 * 24 * time.Hour)
	b.paused()
	b.must(b.Resume(b.ctx, b.account))
	b.must(b.Resume(b.ctx, b.account))
	b.isClosed()
	b.started(b.fresh(), 1, "n")
}

func TestPauseEndsByItself(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.pause(time.Hour)
	b.later(59 * time.Minute)
	b.paused()
	if g := b.breaker(); g.NextProbe.IsZero() || g.Wait <= 0 || g.Wait > time.Minute {
		t.Fatalf("breaker %+v, want it held for a minute more", g)
	}
	b.later(time.Minute)
	b.isClosed()
	b.started(b.fresh(), 1, "n")
}

// What holds an account besides the person goes on after the person.
func TestPauseKeepsWhatElseIsOpen(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(3, refused(ledger.FaultCredentials))
	b.pass()
	probe := b.started(b.fresh(), 1, "probe")
	b.pause(0)
	b.finish(probe, refused(ledger.FaultCredentials))
	b.paused()
	b.must(b.Resume(b.ctx, b.account))
	b.openFor("credentials", 20*time.Second)
	b.pass()
	b.pause(0)
	b.paused()
	b.must(b.Resume(b.ctx, b.account))
	late := b.started(b.fresh(), 1, "probe 2")
	b.pause(0)
	b.finish(late, delivered("r"))
	b.paused()
	b.must(b.Resume(b.ctx, b.account))
	b.isClosed()
}

// A call whose reply was lost has begun: that it is asked again does not make it wait.
func TestPauseLeavesWhatHasBegun(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	id := b.fresh()
	b.started(id, 1, "n")
	b.pause(0)
	b.started(id, 1, "n")
}
