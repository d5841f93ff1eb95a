package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/gateway"
)

func (a answer) events() events.Page {
	a.t.Helper()
	var p events.Page
	a.want(http.StatusOK).read(&p)
	return p
}

func (b *bundle) discarded(order string) string {
	b.t.Helper()
	id := b.raw(order, png(order, 90)).ID
	b.post(b.operator, "/v1/uploads/"+id+"/discard").want(http.StatusOK)
	return id
}

func TestEventsAreReadByCursor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := []string{b.discarded("1"), b.discarded("2"), b.discarded("3")}
	none := b.get(b.producer, "/v1/events?account=nobody").events().Cursor.String()
	if p := b.get(b.producer, "/v1/events?account=nobody&after="+none).events(); none == "" || p.Cursor.String() != none {
		t.Fatalf("the cursor of an empty feed is %q, then %q", none, p.Cursor)
	}
	var got []string
	after := none
	b.eventually("three events", func() bool {
		p := b.get(b.producer, "/v1/events?limit=1&account="+b.account+"&after="+after).events()
		for _, e := range p.Events {
			if e.Type != events.UploadDiscarded || e.Timestamp.IsZero() || e.ID == "" {
				t.Fatalf("%+v", e)
			}
			got = append(got, e.Data.ID)
		}
		after = p.Cursor.String()
		return len(got) >= len(want)
	})
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if p := b.get(b.producer, "/v1/events?account="+b.account+"&after="+after).events(); len(p.Events) != 0 || p.Cursor.String() != after {
		t.Fatalf("read on to %+v", p)
	}
	since := b.get(b.producer, "/v1/events?account="+b.account+"&after=2020-01-01T00:00:00%2B08:00").events()
	if len(since.Events) != len(want) {
		t.Fatalf("since a time there are %+v", since)
	}
	for _, query := range []string{"after=yesterday", "after=e_", "after=e_-1", "wait=x", "wait=-1s", "limit=0", "account=A", "since=1h"} {
		b.get(b.producer, "/v1/events?"+query).problem(http.StatusUnprocessableEntity, "invalid-field")
	}
}

// waiting asks for events with a long wait, and gives what comes of it.
func (b *bundle) waiting(ctx context.Context) <-chan answer {
	b.t.Helper()
	got := make(chan answer, 1)
	c := *b
	c.ctx = ctx
	go func() {
		a, err := c.try(call{method: http.MethodGet, path: "/v1/events?wait=50s&account=" + b.account, token: b.producer})
		if err != nil {
			a.status = -1
		}
		got <- a
	}()
	return got
}

func (b *bundle) answered(got <-chan answer) answer {
	b.t.Helper()
	select {
	case a := <-got:
		return a
	case <-time.After(waitMost):
		b.t.Fatal("no answer")
		return answer{}
	}
}

func TestEventsAreWaitedFor(t *testing.T) {
	t.Parallel()
	// The answer comes later than others may take.
	b := setup(t, func(b *bundle) {
		b.cfg.Limits().HeaderTime, b.cfg.Limits().ShortTime = 3*time.Second, 3*time.Second
	})
	got := b.waiting(b.ctx)
	pause := time.NewTimer(4 * time.Second)
	defer pause.Stop()
	select {
	case a := <-got:
		t.Fatalf("answered %d at once", a.status)
	case <-pause.C:
	}
	id := b.discarded("1")
	if p := b.answered(got).events(); len(p.Events) != 1 || p.Events[0].Data.ID != id {
		t.Fatalf("%+v", p)
	}
}

func TestWaitsEndWhenTheGatewayStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := b.waiting(b.ctx)
	b.eventually("a call that waits", func() bool { return gateway.Waiting(b.gateway) == 1 })
	began := time.Now()
	b.must(b.stop())
	if p := b.answered(got).events(); len(p.Events) != 0 || time.Since(began) > 20*time.Second {
		t.Fatalf("%+v after %s", p, time.Since(began))
	}
}

func TestWaitsEndWhenTheCallerGoes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(b.ctx)
	got := b.waiting(ctx)
	b.eventually("a call that waits", func() bool { return gateway.Waiting(b.gateway) == 1 })
	cancel()
	b.answered(got)
	b.eventually("the end of the wait", func() bool { return gateway.Waiting(b.gateway) == 0 })
}

func TestAPageShowsDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		b.cfg.Webhooks = func(_ context.Context, account string) (events.Status, bool, error) {
			return events.Status{
				Lag: 90 * time.Second, Error: "answered HTTP 500", Recent: []events.Delivery{{EventID: "e", Type: events.UploadDelivered, UploadID: "u", OrderID: "o7", Try: 3}},
			}, account == b.account, nil
		}
	})
	b.raw("1", png("x", 90))
	page := string(b.get(b.producer, "/webhooks").want(http.StatusOK).body)
	for _, want := range []string{b.account, "answered HTTP 500", "o7", "upload.delivered", "arrived"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page:\n%s", want, page)
		}
	}
}
