package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestListPagesByCursor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string
	for i := range 25 {
		order := fmt.Sprintf("%03d", i)
		want = append(want, order)
		b.raw(order, png(order, 90))
	}
	var got []ledger.Upload
	next := "/v1/uploads?state=queued&limit=10&account=" + b.account
	pages := 0
	for next != "" {
		a := b.get(b.producer, next).want(http.StatusOK)
		var page struct {
			Uploads []ledger.Upload
			Cursor  string
		}
		a.read(&page)
		got = append(got, page.Uploads...)
		link := a.header.Get("Link")
		if (page.Cursor == "") != (link == "") {
			t.Fatalf("cursor %q, link %q", page.Cursor, link)
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if pages++; pages > 5 {
			t.Fatal("no end")
		}
	}
	if strings.Join(orders(got), " ") != strings.Join(want, " ") {
		t.Fatalf("got %q", orders(got))
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dead := b.rejected("1")
	b.raw("2", png("x", 90))
	b.raw("2", png("y", 90))
	for query, want := range map[string]string{
		"": "1 2 2", "&orderId=2": "2 2", "&orderId=3": "", "&state=rejected": "1", "&state=queued": "2 2", "&since=1h": "1 2 2", "&since=7d": "1 2 2",
		"&requestId=req-" + dead: "1", "&requestId=req-" + dead + "&state=queued": "", "&requestId=nothing": "", "&requestId=2": "",
		"&search=2": "2 2", "&search=req-" + dead: "1", "&search=2&state=rejected": "", "&search=nothing": "", "&search=2&since=1h&limit=5": "2 2",
	} {
		var page struct{ Uploads []json.RawMessage }
		a := b.get(b.producer, "/v1/uploads?account="+b.account+query).want(http.StatusOK)
		a.read(&page)
		var us []ledger.Upload
		for _, raw := range page.Uploads {
			var u ledger.Upload
			b.must(json.Unmarshal(raw, &u))
			us = append(us, u)
			if len(u.Attempts) > 0 {
				t.Errorf("%s: attempts in a list", query)
			}
		}
		if got := strings.Join(orders(us), " "); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
		if page.Uploads == nil {
			t.Errorf("%q: %s", query, a.body)
		}
	}
}

func TestListRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, query := range []string{
		"state=done", "limit=0", "limit=1001", "limit=x", "since=yesterday", "since=-1h", "cursor=x", "oderId=1", "account=A", "state=queued&state=waiting",
		"requestId=x&cursor=y", "requestId=x&since=1h", "a=%zz",
	} {
		b.get(b.producer, "/v1/uploads?"+query).problem(http.StatusUnprocessableEntity, "invalid-field")
	}
}

// rejected makes an upload that the API refused, and gives its id. Its request id is req- and the
// id.
func (b *bundle) rejected(order string) string {
	b.t.Helper()
	u := b.raw(order, png("rejected", 90))
	g, err := b.ledger.Begin(b.ctx, ledger.NewAttempt{ID: u.ID, Generation: 1, Nonce: "n", Worker: "w", Lease: time.Minute})
	b.must(err)
	_, err = b.ledger.Finish(b.ctx, g.Running, ledger.AttemptResult{
		Next: ledger.Rejected, Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: "4711", RequestID: "req-" + u.ID, Msg: "no",
	})
	b.must(err)
	return u.ID
}
