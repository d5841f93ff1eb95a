package ledger_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"20/s", "100/m", "1/h", "10000/s"} {
		if r, err := ledger.ParseRate(text); err != nil || r.String() != text {
			t.Errorf("%s is read as %s, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "20", "0/s", "-1/s", "20/d", "20/", "/s", "20 / s", "10001/s", "1.5/s"} {
		if r, err := ledger.ParseRate(text); err == nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
	if text := (ledger.Rate{}).String(); text != "" {
		t.Errorf("no rate is written as %q", text)
	}
}

// ask begins an attempt of a new upload in an account with a rate.
func (b *bundle) ask(rate string, turn int64) ledger.BeginResult {
	b.t.Helper()
	id := b.fresh()
	r, err := ledger.ParseRate(rate)
	b.must(err)
	g, err := b.Begin(b.ctx, ledger.NewAttempt{
		ID: id, Generation: 1, Nonce: id + strconv.FormatInt(turn, 36), Worker: "w", Lease: lease, Rate: r, Turn: turn,
	})
	b.must(err)
	return g
}

// turnsLater lets time pass for the turns.
func (b *bundle) turnsLater(d time.Duration) {
	b.t.Helper()
	b.must(b.rdb.HIncrBy(b.ctx, b.prefix()+"breaker", "turn", -d.Microseconds()).Err())
}

func TestRateGivesTurns(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	if g := b.ask("1/m", 0); g.Answer != ledger.Started {
		t.Fatalf("the first: %+v, want it started", g)
	}
	var last ledger.BeginResult
	for n := 1; n <= 3; n++ {
		g := b.ask("1/m", 0)
		if want := time.Duration(n) * time.Minute; g.Answer != ledger.TurnLater || g.Wait.For > want || g.Wait.For < want-10*time.Second {
			t.Fatalf("worker %d got %+v, want its turn in %v", n, g, want)
		}
		if n > 1 && g.Turn-last.Turn != time.Minute.Microseconds() {
			t.Fatalf("turns %d and %d, want a minute between them", last.Turn, g.Turn)
		}
		last = g
	}
	if g := b.ask("1/m", last.Turn); g.Answer != ledger.TurnLater || g.Turn != last.Turn {
		t.Fatalf("before its turn: %+v, want the same turn", g)
	}
	if g := b.ask("1/m", last.Turn-3*time.Minute.Microseconds()); g.Answer != ledger.Started {
		t.Fatalf("in its turn: %+v, want it started", g)
	}
	g := b.ask("1/m", last.Turn-5*time.Minute.Microseconds())
	if g.Answer != ledger.TurnLater || g.Turn != last.Turn+time.Minute.Microseconds() {
		t.Fatalf("after its turn: %+v, want another", g)
	}
}

func TestRateSavesNothingUp(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.ask("1/m", 0)
	b.turnsLater(time.Hour)
	if g := b.ask("1/m", 0); g.Answer != ledger.Started {
		t.Fatalf("after an hour: %+v, want it started", g)
	}
	if g := b.ask("1/m", 0); g.Answer != ledger.TurnLater || g.Wait.For < 50*time.Second {
		t.Fatalf("the next: %+v, want a turn in a minute", g)
	}
}

func TestRateThatIsRaisedHoldsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.ask("1/h", 0)
	b.ask("1/h", 0)
	if g := b.ask("6/m", 0); g.Answer != ledger.TurnLater || g.Wait.For > 10*time.Second {
		t.Fatalf("after the rate was raised: %+v, want a turn in 10 s", g)
	}
	if g := b.begin(b.fresh(), 1, "n"); g.Answer != ledger.Started {
		t.Fatalf("without a rate: %+v, want it started", g)
	}
}

func TestProbesKeepTheRate(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.trip(5, unavailable())
	b.ask("1/m", 0)
	b.pass()
	if g := b.ask("1/m", 0); g.Answer != ledger.Started || !g.Running.Probe {
		t.Fatalf("the first probe: %+v, want it started", g)
	} else {
		b.finish(g.Running, unavailable())
	}
	b.pass()
	g := b.ask("1/m", 0)
	if g.Answer != ledger.TurnLater || b.breaker().Probing {
		t.Fatalf("the next probe: %+v, breaker %+v, want it to wait for its turn", g, b.breaker())
	}
	if g = b.ask("1/m", g.Turn-time.Minute.Microseconds()); g.Answer != ledger.Started || !g.Running.Probe {
		t.Fatalf("the next probe in its turn: %+v, want it started", g)
	}
}
