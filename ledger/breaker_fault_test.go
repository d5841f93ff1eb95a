package ledger_test

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestBreakerThreeAnswersOfOneKind(t *testing.T) {
	t.Parallel()
	for _, fault := range []ledger.Fault{ledger.FaultCredentials, ledger.FaultEndpoint} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.trip(2, refused(fault))
			b.isClosed()
			id := b.fresh()
			rec := b.attempt(id, next(refused(fault), ledger.Rejected))
			if rec.BreakerReason != string(fault) || !rec.Account || rec.State != ledger.Waiting || rec.BreakerWait <= 0 {
				t.Fatalf("recorded %+v, want the answer taken for the account's", rec)
			}
			if u := b.get(id); u.Refusals != 0 {
				t.Fatalf("upload %+v, want its budget spared", u)
			}
			for want := 10 * time.Second; want < 5*time.Minute; want *= 2 {
				b.openFor(string(fault), want)
				b.pass()
				b.probe(refused(fault))
			}
			b.openFor(string(fault), 5*time.Minute)
			b.pass()
			b.probe(unclear())
			b.openFor(string(fault), 5*time.Minute)
			b.pass()
			b.probe(delivered("r"))
			b.isClosed()
		})
	}
}

func TestBreakerRowOfOneKindIsBroken(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ledger.AttemptResult{
		"delivered": delivered("r"), "refused for good": final(),
		"another kind": refused(ledger.FaultEndpoint), "another refusal": refused(ledger.FaultRefusing),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.trip(2, refused(ledger.FaultCredentials))
			b.attempt(b.fresh(), o)
			b.trip(2, refused(ledger.FaultCredentials))
			b.isClosed()
		})
	}
}

func TestBreakerRefusingFiveUploads(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first := b.fresh()
	for range 4 { // one upload alone, however often, is its own fault
		b.attempt(first, refused(ledger.FaultRefusing))
	}
	b.trip(3, refused(ledger.FaultRefusing))
	b.isClosed()
	b.trip(1, refused(ledger.FaultRefusing))
	b.openFor("refusing", 10*time.Second)
	b.pass()
	b.probe(refused(ledger.FaultCredentials))
	b.openFor("credentials", 10*time.Second)
	b.pass()
	b.probe(delivered("r"))
	b.isClosed()
}

func TestBreakerRefusingMustBeTheSame(t *testing.T) {
	t.Parallel()
	other := refused(ledger.FaultRefusing)
	other.Code = "4712"
	for name, o := range map[string]ledger.AttemptResult{
		"another code": other, "delivered": delivered("r"), "refused for good": final(), "credentials": refused(ledger.FaultCredentials),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.trip(4, refused(ledger.FaultRefusing))
			b.attempt(b.fresh(), o)
			b.trip(4, refused(ledger.FaultRefusing))
			b.isClosed()
		})
	}
}

// An answer without a fault says nothing about the account, however often it comes.
func TestBreakerIgnoresRefusalsWithoutFault(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(12, refused(ledger.FaultNone))
	b.isClosed()
}

// An account that is well must not wait for one upload that the API will not have.
func TestBreakerOpenedByOneUploadAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	bad := b.fresh()
	for range 2 {
		b.attempt(bad, refused(ledger.FaultCredentials))
	}
	rec := b.attempt(bad, refused(ledger.FaultCredentials))
	if rec.BreakerReason != "credentials" || rec.BreakerWait != 0 {
		t.Fatalf("recorded %+v, want the breaker open and nobody else held", rec)
	}
	// It alone waits, and not in its worker's handler, where others would wait behind it. It asks
	// again before the hold is over: by then another may have closed the breaker.
	if h := b.stopped(bad, 1, "n4", ledger.Early); h.For != 5*time.Second {
		t.Fatalf("early by %v, want 5 s", h.For)
	}
	b.probe(delivered("r"))
	b.isClosed()
	b.started(bad, 1, "n4")
}

func TestBreakerOpenedByOneUploadThatKeepsAsking(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	bad := b.fresh()
	for range 3 {
		b.attempt(bad, refused(ledger.FaultEndpoint))
	}
	for range 3 {
		b.pass()
		if rec := b.attempt(bad, refused(ledger.FaultEndpoint)); rec.BreakerWait != 0 {
			t.Fatalf("recorded %+v, want nobody else held", rec)
		}
	}
	if u := b.get(bad); u.Refusals != 2 {
		t.Fatalf("upload %+v, want two refusals: probes are free", u)
	}
	b.openFor("endpoint", 80*time.Second)
	// Another's probe finds that the fault is the account's after all: now all wait.
	b.probe(refused(ledger.FaultEndpoint))
	b.stopped(b.fresh(), 1, "n", ledger.BreakerOpen)
	b.stopped(bad, 1, "m", ledger.BreakerOpen)
	b.openFor("endpoint", 160*time.Second)
}

func TestBreakerOpenedByOneUploadOthersProbeOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	bad := b.fresh()
	for range 3 {
		b.attempt(bad, refused(ledger.FaultCredentials))
	}
	run := b.started(b.fresh(), 1, "probe")
	if !run.Probe {
		t.Fatalf("running %+v, want a probe", run)
	}
	b.stopped(b.fresh(), 1, "n", ledger.BreakerOpen)
	b.must(b.Release(b.ctx, run, ""))
	b.probe(delivered("r"))
	b.isClosed()
}

func TestProbesAreFree(t *testing.T) {
	t.Parallel()
	open := map[string]ledger.AttemptResult{
		"outage": unavailable(), "throttled": throttled(time.Second),
		"credentials": refused(ledger.FaultCredentials), "endpoint": refused(ledger.FaultEndpoint), "refusing": refused(ledger.FaultRefusing),
	}
	answers := map[string]ledger.AttemptResult{
		"unavailable": unavailable(), "unclear": unclear(), "throttled": throttled(0),
		"refused": refused(ledger.FaultRefusing), "credentials": refused(ledger.FaultCredentials),
		"budget spent": next(refused(ledger.FaultRefusing), ledger.Rejected), "too old": next(unavailable(), ledger.Expired),
	}
	for reason, o := range open {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			for name, answer := range answers {
				for b.breaker().Reason == "" {
					b.trip(1, o)
				}
				b.pass()
				id := b.fresh()
				run := b.started(id, 1, name)
				if !run.Probe {
					t.Fatalf("%s: no probe: %+v, breaker %+v", name, run, b.breaker())
				}
				rec := b.finish(run, after(answer, time.Hour))
				u := b.get(id)
				if rec.State != ledger.Waiting || rec.Wait != 0 || u.Refusals != 0 || u.AttemptCount != 1 {
					t.Errorf("%s: recorded %+v, upload %+v, want it to cost nothing", name, rec, u)
				}
				b.discard(id)
			}
		})
	}
}

func TestProbesMayEndTheirUpload(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ledger.AttemptResult{"delivered": delivered("r"), "refused for good": final(), "no voucher": invalid()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.trip(3, refused(ledger.FaultCredentials))
			b.pass()
			if rec := b.probe(o); rec.State != o.Next {
				t.Fatalf("recorded %+v, want %s", rec, o.Next)
			}
		})
	}
}

// What was under way when the account was found at fault costs nothing either.
func TestRefusalsOfAShutAccountAreFree(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rs := b.running(5)
	b.trip(3, refused(ledger.FaultCredentials))
	for _, r := range rs {
		rec := b.finish(r, after(next(refused(ledger.FaultCredentials), ledger.Rejected), time.Hour))
		if !rec.Account || rec.State != ledger.Waiting || rec.Wait != 0 || b.get(r.ID).Refusals != 0 {
			t.Fatalf("recorded %+v, want it to cost nothing", rec)
		}
	}
	b.openFor("credentials", 10*time.Second)
}

// In-flight answers of another kind do not make the account's fault a mere outage, whose next probe
// would charge uploads.
func TestBreakerKeepsTheAccountsFault(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rs := b.running(2)
	b.trip(3, refused(ledger.FaultCredentials))
	b.finish(rs[0], throttled(time.Minute))
	b.openFor("credentials", time.Minute)
	away := unavailable()
	away.Hold = 2 * time.Minute
	b.finish(rs[1], away)
	b.openFor("credentials", 2*time.Minute)
	b.pass()
	b.probe(refused(ledger.FaultCredentials))
	b.openFor("credentials", 20*time.Second)
}

// After an outage the first refusal is one answer like any other: the API is back.
func TestBreakerOutageThenRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(5, unavailable())
	b.pass()
	b.probe(refused(ledger.FaultCredentials))
	b.isClosed()
	b.trip(2, refused(ledger.FaultCredentials))
	b.openFor("credentials", 10*time.Second)
}

func TestBreakerShowsTheLastAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	if g := b.breaker(); g != (ledger.Breaker{}) {
		t.Fatalf("breaker %+v of an account that never sent, want nothing", g)
	}
	b.attempt(b.fresh(), refused(ledger.FaultRefusing))
	g := b.breaker()
	if g.LastAt.IsZero() || g.LastOutcome != ledger.OutcomeRefused || g.LastStatus != 400 || g.LastCode != "4711" || g.LastMsg != "no" {
		t.Fatalf("breaker %+v, want the last answer", g)
	}
	b.attempt(b.fresh(), unavailable())
	if g := b.breaker(); g.LastMsg != "http 503" || g.LastCode != "" || g.LastStatus != 503 {
		t.Fatalf("breaker %+v, want the error of the last attempt", g)
	}
}

func TestBreakerShowsTheSkew(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.must(b.NoteSkew(b.ctx, b.account, -42*time.Second))
	if g := b.breaker(); g.Skew != -42*time.Second {
		t.Fatalf("breaker %+v, want the skew that was noted", g)
	}
}
