package events_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/ledger"
)

func TestWebhooksTellWhatEndsFromNowOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.end("1", 0, delivered()) // before the webhooks
	b.nextMillisecond()
	b.start()
	b.ready()
	id := b.end("1", 1, delivered())
	b.end("1", 2, rejected())
	_, _, err := b.ledger.Discard(b.ctx, b.end("2", 0, unavailable()), ledger.Who{}) // nobody is told
	b.must(err)
	b.eventually("the events", func() bool { return len(b.to.events()) >= 3 }) // the breaker has opened
	es := b.to.events()
	var uploads []events.Type
	for _, e := range es {
		if e.Data.Upload != nil {
			uploads = append(uploads, e.Type)
		}
	}
	if want := []events.Type{events.UploadDelivered, events.UploadRejected}; !slices.Equal(uploads, want) {
		t.Fatalf("told %v", types(es))
	}
	i := slices.IndexFunc(es, func(e events.Event) bool { return e.Type == events.UploadDelivered })
	if u := es[i].Data.Upload; u.ID != id || u.RequestID != "r" || len(u.Attempts) != 0 {
		t.Fatalf("%+v", u)
	}
	if b.to.agents[0] != "voucherd/test" {
		t.Fatalf("User-Agent %q", b.to.agents[0])
	}
}

// Webhooks that were off go on where they stopped, unless it is deleted how far they have come.
func TestWebhooksThatWereOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := b.start()
	b.ready()
	stop()
	b.end("1", 0, delivered())
	stop = b.start()
	b.eventually("what ended meanwhile", func() bool { return b.took("1", 0) })
	stop()
	b.end("1", 1, delivered())
	b.must(b.rdb.Del(b.ctx, "voucherd:{vouchers-"+b.account+"}:webhook").Err())
	b.nextMillisecond()
	b.start()
	b.ready()
	b.end("1", 2, delivered())
	b.eventually("what ended since", func() bool { return b.took("1", 2) })
	if b.took("1", 1) {
		t.Error("what was to be skipped was told")
	}
}

// A process that dies before it had a turn leaves what ended meanwhile to the next.
func TestWhatEndsBeforeTheFirstTurnIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(b.sender().Begin(b.ctx))
	id := b.end("1", 0, delivered())
	b.start()
	b.eventually("the event", func() bool { return len(b.to.events()) == 1 })
	if u := b.to.events()[0].Data.Upload; u == nil || u.ID != id {
		t.Fatalf("told %+v", u)
	}
}

// One outage answer opens this account's breaker, and a delivery closes it.
func TestWebhooksTellOfTheBreaker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	b.ready()
	b.end("1", 0, unavailable())
	b.eventually("opened", func() bool { return slices.Contains(types(b.to.events()), events.BreakerOpened) })
	is, err := b.ledger.Breaker(b.ctx, b.account)
	b.must(err)
	b.must(b.rdb.HDel(b.ctx, "voucherd:{"+ledger.Queue(b.account)+"}:breaker", "reason", "since", "until", "bound", "by").Err())
	b.eventually("closed", func() bool { return slices.Contains(types(b.to.events()), events.BreakerClosed) })
	es := b.to.events()
	for _, e := range es {
		if d := e.Data.Breaker; d == nil || d.Account != b.account || d.Reason != "outage" || !d.Since.Equal(is.Since.Time) {
			t.Fatalf("%+v", d)
		}
	}
	if len(es) != 2 || es[0].Type != events.BreakerOpened || es[0].ID == es[1].ID {
		t.Fatalf("%+v", es)
	}
}

// An event that the receiver never takes holds up its order alone, and is given up in the end.
func TestARefusedEventHoldsUpItsOrderAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set.Timeout = waitMost // only what is refused is given up
	b.set.GiveUp = 300 * time.Millisecond
	b.to.refuse()
	b.start()
	b.ready()
	b.end("bad", 0, delivered())
	b.end("bad", 1, delivered())
	n := 0
	b.eventually("what comes behind it", func() bool {
		b.end("good", n, delivered()) // the receiver is alive
		n++
		return slices.ContainsFunc(b.to.events(), func(e events.Event) bool { return e.Data.OrderID == "bad" })
	})
	if first := b.to.events()[0]; first.Data.OrderID != "good" {
		t.Fatalf("%+v came first", first)
	}
	if b.logs.FilterMessage("webhook.given_up").Len() != 1 {
		t.Fatal("nobody was told that an event was given up")
	}
	b.eventually("the delivery that was given up", func() bool {
		s, _ := b.status()
		return slices.ContainsFunc(s.Recent, func(d events.Delivery) bool { return d.GivenUp && d.OrderID == "bad" }) || len(s.Recent) == 50
	})
}

// refuse lets the receiver refuse the first event of the order "bad", for good.
func (r *receiver) refuse() {
	r.answers(func(w http.ResponseWriter, _ *http.Request, e events.Event) bool {
		if e.Data.OrderID == "bad" && e.Data.Reference == "0" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return false
		}
		return true
	})
}

// took says whether an event of the order's n-th upload arrived.
func (b *bundle) took(order string, n int) bool {
	return slices.ContainsFunc(b.to.events(), func(e events.Event) bool {
		return e.Data.Upload != nil && e.Data.OrderID == order && e.Data.Reference == strconv.Itoa(n)
	})
}

// With nothing else to send, a refused event makes the receiver count as down. What ends then is
// sent all the same, and shows that the receiver is up.
func TestInAQuietShopARefusedEventHoldsUpItsOrderAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set.Timeout = waitMost // no event comes twice because its answer was late
	b.set.GiveUp = time.Millisecond
	b.to.refuse()
	b.start()
	b.ready()
	b.end("bad", 0, delivered())
	b.end("bad", 1, delivered())
	b.eventually("a receiver that counts as down", func() bool { return b.to.called() > 6 })
	b.end("good", 0, delivered())
	b.eventually("an event of another order", func() bool { return b.took("good", 0) })
	b.eventually("what comes behind the refused event", func() bool { return b.took("bad", 1) })
	if b.logs.FilterMessage("webhook.given_up").Len() != 1 {
		t.Fatal("nobody was told that an event was given up")
	}
}

// However many events arrive behind a refused one, reading goes on.
func TestInABusyShopARefusedEventHoldsUpItsOrderAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.to.refuse()
	b.start()
	b.ready()
	b.end("bad", 0, delivered())
	const others = 1500
	for n := range others {
		b.end(fmt.Sprint("good-", n), 0, delivered())
	}
	b.eventually("all others", func() bool { return b.to.arrived() == others })
}

// The next sender goes on with a refused event, since when it is refused included, and sends no
// event again that arrived behind it.
func TestTheNextSenderKnowsWhatWasRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set.Timeout = waitMost // no event comes twice because its answer was late
	b.to.refuse()
	stop := b.start()
	b.ready()
	b.end("bad", 0, delivered())
	b.end("bad", 1, delivered())
	b.failing("HTTP 422")
	since := time.Now()
	const others = 20
	for n := range others {
		b.end(fmt.Sprint("good-", n), 0, delivered())
	}
	b.eventually("all others", func() bool { return b.to.arrived() == others })
	b.eventually("a cursor behind them", func() bool {
		s, _ := b.status()
		return !slices.ContainsFunc(b.to.events(), func(e events.Event) bool { return e.Timestamp.After(s.Cursor.Time) })
	})
	stop()
	if s, _ := b.status(); s.Lag < time.Millisecond {
		t.Errorf("an event was refused, and the lag is %s", s.Lag)
	}

	b.set.GiveUp = time.Since(since) // less than since the first refusal
	b.start()
	b.end("good", 0, delivered())
	b.eventually("what comes behind the refused event", func() bool { return b.took("bad", 1) })
	b.eventually("no lag", func() bool { s, _ := b.status(); return s.Lag == 0 })
	if n := b.to.again(); n != 0 {
		t.Errorf("%d events came again", n)
	}
}

func TestTwoSendersTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set.Timeout = waitMost // no call is made twice
	stop := b.start()
	b.start()
	b.ready()
	for n := range 20 {
		b.end("1", n, delivered())
	}
	b.eventually("all", func() bool { return len(b.to.events()) == 20 })
	if b.to.called() != 20 {
		t.Fatalf("%d calls for 20 events", b.to.called())
	}
	stop()
	b.end("1", 20, delivered())
	b.eventually("the one after", func() bool { return len(b.to.events()) == 21 })
}

func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	for _, lines := range []string{secret + "\n" + other, other + "\r\n" + secret + "\n\n"} {
		b := setup(t)
		var err error
		b.hook.Secrets, err = events.ParseSecrets(lines)
		b.must(err)
		b.start()
		b.ready()
		b.end("1", 0, delivered())
		b.eventually("the event", func() bool { return len(b.to.events()) == 1 }) // whoever has one of them verifies it
	}
	for _, bad := range []string{"", "\n", "secret", "whsec_", "whsec_!!", "whsec_c2hvcnQ=", strings.Repeat(secret+"\n", 6)} {
		if _, err := events.ParseSecrets(bad); err == nil || bad != "" && strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPrivateReceiversAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook.AllowPrivate = false
	b.hook.URL = strings.Replace(b.hook.URL, "127.0.0.1", "localhost", 1) + "?token=hidden"
	b.start()
	b.ready()
	b.end("1", 0, delivered())
	b.failing("not public")
	if s, _ := b.status(); strings.Contains(s.Error, "hidden") || b.to.called() != 0 {
		t.Fatalf("%d calls, %s", b.to.called(), s.Error)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var followed atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	defer elsewhere.Close()
	b.to.answers(func(w http.ResponseWriter, _ *http.Request, _ events.Event) bool {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return false
	})
	b.start()
	b.ready()
	b.end("1", 0, delivered())
	b.failing("HTTP 307")
	if followed.Load() {
		t.Fatal("a redirect was followed")
	}
}
