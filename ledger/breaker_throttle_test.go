package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestBreakerThrottled(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rec := b.attempt(b.fresh(), throttled(3*time.Second))
	if rec.BreakerReason != "throttled" || !rec.Account || rec.BreakerWait <= 0 || rec.BreakerWait > 3*time.Second {
		t.Fatalf("recorded %+v, want the breaker open for 3 s", rec)
	}
	b.pass()
	b.probe(throttled(0))
	for want := time.Minute; want < time.Hour; want = min(2*want, time.Hour) {
		b.openFor("throttled", want)
		b.pass()
		b.probe(throttled(0))
	}
	b.openFor("throttled", time.Hour)
	b.pass()
	b.probe(delivered("r"))
	b.isClosed()
	b.attempt(b.fresh(), throttled(0))
	b.openFor("throttled", 30*time.Second)
}

// running begins attempts of n uploads while the breaker is closed.
func (b *bundle) running(n int) []ledger.Running {
	b.t.Helper()
	var rs []ledger.Running
	for i := range n {
		rs = append(rs, b.started(b.fresh(), 1, fmt.Sprint("running-", i)))
	}
	return rs
}

func TestBreakerThrottledByCallsThatLeftTogether(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rs := b.running(12)
	for _, r := range rs[:4] {
		b.finish(r, throttled(2*time.Second))
	}
	b.openFor("throttled", 2*time.Second)
	b.finish(rs[4], throttled(10*time.Second))
	b.finish(rs[5], throttled(time.Second))
	b.finish(rs[6], throttled(0))
	b.openFor("throttled", 10*time.Second)
	b.pass()
	b.probe(throttled(0))
	if g := b.breaker(); g.Wait > 75*time.Second {
		b.t.Fatalf("breaker %+v: the answers to one burst made the next hold longer", g)
	}
	short := unavailable()
	short.Hold = time.Second
	b.finish(rs[7], short)
	if g := b.breaker(); g.Wait < 50*time.Second {
		b.t.Fatalf("breaker %+v: another answer made the hold shorter", g)
	}
}

// A call that left before the account was throttled succeeds: the hold was told, and stands.
func TestBreakerThrottledIsNotOpenedByAnotherCall(t *testing.T) {
	t.Parallel()
	away := unavailable()
	away.Hold = time.Minute
	for name, o := range map[string]ledger.AttemptResult{
		"told": throttled(time.Minute), "not told": throttled(0), "unavailable, told": away,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			rs := b.running(4)
			b.finish(rs[0], o)
			want := b.breaker()
			b.finish(rs[1], delivered("r"))
			b.finish(rs[2], final())
			b.finish(rs[3], refused(ledger.FaultRefusing))
			if g := b.breaker(); g.Reason != want.Reason || g.NextProbe != want.NextProbe {
				t.Fatalf("breaker %+v, want it as it was: %+v", g, want)
			}
			b.stopped(b.fresh(), 1, "n", ledger.BreakerOpen)
			b.pass()
			b.probe(delivered("r2"))
			b.isClosed()
		})
	}
}
