package ledger_test

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestGateThreeAnswersOfOneKind(t *testing.T) {
	t.Parallel()
	for _, fault := range []ledger.Fault{ledger.FaultCredentials, ledger.FaultEndpoint} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.shut(2, refused(fault))
			b.isOpen()
			id := b.fresh()
			rec := b.attempt(id, next(refused(fault), ledger.Rejected))
			if rec.LaneHeld != string(fault) || !rec.Lane || rec.State != ledger.Waiting || rec.HeldFor <= 0 {
				t.Fatalf("recorded %+v, want the answer taken for the lane's", rec)
			}
			if u := b.get(id); u.Refusals != 0 {
				t.Fatalf("upload %+v, want its budget spared", u)
			}
			for want := 10 * time.Second; want < 5*time.Minute; want *= 2 {
				b.shutFor(string(fault), want)
				b.pass()
				b.probe(refused(fault))
			}
			b.shutFor(string(fault), 5*time.Minute)
			b.pass()
			b.probe(unclear())
			b.shutFor(string(fault), 5*time.Minute)
			b.pass()
			b.probe(delivered("r"))
			b.isOpen()
		})
	}
}

func TestGateRowOfOneKindIsBroken(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ledger.Outcome{
		"delivered": delivered("r"), "refused for good": final(),
		"another kind": refused(ledger.FaultEndpoint), "another refusal": refused(ledger.FaultRefusing),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.shut(2, refused(ledger.FaultCredentials))
			b.attempt(b.fresh(), o)
			b.shut(2, refused(ledger.FaultCredentials))
			b.isOpen()
		})
	}
}

func TestGateRefusingFiveUploads(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first := b.fresh()
	for range 4 { // one upload alone, however often, is its own fault
		b.attempt(first, refused(ledger.FaultRefusing))
	}
	b.shut(3, refused(ledger.FaultRefusing))
	b.isOpen()
	b.shut(1, refused(ledger.FaultRefusing))
	b.shutFor("refusing", 10*time.Second)
	b.pass()
	b.probe(refused(ledger.FaultCredentials))
	b.shutFor("credentials", 10*time.Second)
	b.pass()
	b.probe(delivered("r"))
	b.isOpen()
}

func TestGateRefusingMustBeTheSame(t *testing.T) {
	t.Parallel()
	other := refused(ledger.FaultRefusing)
	other.Code = "4712"
	for name, o := range map[string]ledger.Outcome{
		"another code": other, "delivered": delivered("r"), "refused for good": final(), "credentials": refused(ledger.FaultCredentials),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.shut(4, refused(ledger.FaultRefusing))
			b.attempt(b.fresh(), o)
			b.shut(4, refused(ledger.FaultRefusing))
			b.isOpen()
		})
	}
}

// An answer without a fault says nothing about the lane, however often it comes.
func TestGateIgnoresRefusalsWithoutFault(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.shut(12, refused(ledger.FaultNone))
	b.isOpen()
}

// A lane that is well must not wait for one upload that the API will not have.
func TestGateShutByOneUploadAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	bad := b.fresh()
	for range 2 {
		b.attempt(bad, refused(ledger.FaultCredentials))
	}
	rec := b.attempt(bad, refused(ledger.FaultCredentials))
	if rec.LaneHeld != "credentials" || rec.HeldFor != 0 {
		t.Fatalf("recorded %+v, want the lane shut and nobody else held", rec)
	}
	// It alone waits, and not in its worker's handler, where others would wait behind it. It asks again before the hold is
	// over: by then another may have opened the gate.
	if h := b.stopped(bad, 1, "n4", ledger.Early); h.Wait != 5*time.Second {
		t.Fatalf("early by %v, want 5 s", h.Wait)
	}
	b.probe(delivered("r"))
	b.isOpen()
	b.started(bad, 1, "n4")
}

func TestGateShutByOneUploadThatKeepsAsking(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	bad := b.fresh()
	for range 3 {
		b.attempt(bad, refused(ledger.FaultEndpoint))
	}
	for range 3 {
		b.pass()
		if rec := b.attempt(bad, refused(ledger.FaultEndpoint)); rec.HeldFor != 0 {
			t.Fatalf("recorded %+v, want nobody else held", rec)
		}
	}
	if u := b.get(bad); u.Refusals != 2 {
		t.Fatalf("upload %+v, want two refusals: probes are free", u)
	}
	b.shutFor("endpoint", 80*time.Second)
	// Another's probe finds that the fault is the lane's after all: now all wait.
	b.probe(refused(ledger.FaultEndpoint))
	b.stopped(b.fresh(), 1, "n", ledger.Held)
	b.stopped(bad, 1, "m", ledger.Held)
	b.shutFor("endpoint", 160*time.Second)
}

func TestGateShutByOneUploadOthersProbeOneAtATime(t *testing.T) {
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
	b.stopped(b.fresh(), 1, "n", ledger.Held)
	b.must(b.Release(b.ctx, run, false))
	b.probe(delivered("r"))
	b.isOpen()
}

func TestProbesAreFree(t *testing.T) {
	t.Parallel()
	shut := map[string]ledger.Outcome{
		"outage": unavailable(), "throttled": throttled(time.Second),
		"credentials": refused(ledger.FaultCredentials), "endpoint": refused(ledger.FaultEndpoint), "refusing": refused(ledger.FaultRefusing),
	}
	answers := map[string]ledger.Outcome{
		"unavailable": unavailable(), "unclear": unclear(), "throttled": throttled(0),
		"refused": refused(ledger.FaultRefusing), "credentials": refused(ledger.FaultCredentials),
		"budget spent": next(refused(ledger.FaultRefusing), ledger.Rejected), "too old": next(unavailable(), ledger.Expired),
	}
	for reason, o := range shut {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			for name, answer := range answers {
				for b.gate().Reason == "" {
					b.shut(1, o)
				}
				b.pass()
				id := b.fresh()
				run := b.started(id, 1, name)
				if !run.Probe {
					t.Fatalf("%s: no probe: %+v, gate %+v", name, run, b.gate())
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
	for name, o := range map[string]ledger.Outcome{"delivered": delivered("r"), "refused for good": final(), "no voucher": invalid()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			b.shut(3, refused(ledger.FaultCredentials))
			b.pass()
			if rec := b.probe(o); rec.State != o.Next {
				t.Fatalf("recorded %+v, want %s", rec, o.Next)
			}
		})
	}
}

// What was under way when the lane was found at fault costs nothing either.
func TestRefusalsOfAShutLaneAreFree(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rs := b.running(5)
	b.shut(3, refused(ledger.FaultCredentials))
	for _, r := range rs {
		rec := b.finish(r, after(next(refused(ledger.FaultCredentials), ledger.Rejected), time.Hour))
		if !rec.Lane || rec.State != ledger.Waiting || rec.Wait != 0 || b.get(r.ID).Refusals != 0 {
			t.Fatalf("recorded %+v, want it to cost nothing", rec)
		}
	}
	b.shutFor("credentials", 10*time.Second)
}

// In-flight answers of another kind do not make the lane's fault a mere outage, whose next probe would charge uploads.
func TestGateKeepsTheLanesFault(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rs := b.running(2)
	b.shut(3, refused(ledger.FaultCredentials))
	b.finish(rs[0], throttled(time.Minute))
	b.shutFor("credentials", time.Minute)
	away := unavailable()
	away.Hold = 2 * time.Minute
	b.finish(rs[1], away)
	b.shutFor("credentials", 2*time.Minute)
	b.pass()
	b.probe(refused(ledger.FaultCredentials))
	b.shutFor("credentials", 20*time.Second)
}

// After an outage the first refusal is one answer like any other: the API is back.
func TestGateOutageThenRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.shut(5, unavailable())
	b.pass()
	b.probe(refused(ledger.FaultCredentials))
	b.isOpen()
	b.shut(2, refused(ledger.FaultCredentials))
	b.shutFor("credentials", 10*time.Second)
}

func TestGateShowsTheLastAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	if g := b.gate(); g != (ledger.Gate{}) {
		t.Fatalf("gate %+v of a lane that never sent, want nothing", g)
	}
	b.attempt(b.fresh(), refused(ledger.FaultRefusing))
	g := b.gate()
	if g.LastAt.IsZero() || g.LastVerdict != ledger.VerdictRefused || g.LastStatus != 400 || g.LastCode != "4711" || g.LastMsg != "no" {
		t.Fatalf("gate %+v, want the last answer", g)
	}
	b.attempt(b.fresh(), unavailable())
	if g := b.gate(); g.LastMsg != "http 503" || g.LastCode != "" || g.LastStatus != 503 {
		t.Fatalf("gate %+v, want the error of the last attempt", g)
	}
}

func TestGateShowsTheSkew(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.must(b.NoteSkew(b.ctx, b.lane, -42*time.Second))
	if g := b.gate(); g.Skew != -42*time.Second {
		t.Fatalf("gate %+v, want the skew that was noted", g)
	}
}
