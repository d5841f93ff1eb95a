package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// searches asserts what a text finds in the account, in any order.
func (b *bundle) searches(text string, want ...string) {
	b.t.Helper()
	page, err := b.List(b.ctx, ledger.Query{Account: b.account, Search: text})
	b.must(err)
	found, err := b.Search(b.ctx, text)
	if !errors.Is(err, ledger.ErrNotFound) {
		b.must(err)
	}
	for how, us := range map[string][]ledger.Upload{"list": page.Uploads, "search": found} {
		var got []string
		for _, u := range us {
			if u.Account == b.account { // other tests have the same orders
				got = append(got, u.ID)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			b.t.Errorf("%s of %q gives %v, want %v", how, text, got, want)
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	n := b.upload("1993804417200000017", "1")
	n.Reference = "PO 7/2026 – 四"
	one := b.openAs(n).ID
	two := b.open("1993804417200000018", "2").ID
	n = b.upload("SH-17", "3")
	n.Reference = n.OrderID + "x"
	short := b.openAs(n).ID
	third := b.open("1993804417200000018", "4").ID
	b.attempt(two, delivered("request-1"))

	b.searches("1993804417200000017", one)
	b.searches("PO 7/2026 – 四", one)
	b.searches("199380", one, two, third)
	b.searches("19938")
	b.searches("000018", two, third)
	b.searches("200000017", one)
	b.searches("00000017x")
	b.searches("SH-17", short)
	b.searches("SH-17x", short)
	b.searches(two, two)
	b.searches("request-1", two)
	b.searches("0000\x00\xff*[")

	page, err := b.List(b.ctx, ledger.Query{Account: b.account, Search: "199380", State: ledger.Queued, Limit: 1})
	b.must(err)
	if len(page.Uploads) != 1 || page.Cursor == "" {
		t.Errorf("a page of a search has %d uploads, cursor %q", len(page.Uploads), page.Cursor)
	}
	if _, err := b.Find(b.ctx, "PO 7/2026 – 四"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("find goes by references: %v", err)
	}
}

// An exact name comes before those that it is a part of.
func TestSearchPrefersWhatIsNamedInFull(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	whole := b.open("4417200", "1").ID
	b.open("44172001", "2")
	b.searches("4417200", whole)
}

func TestSearchForgetsWhatIsRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{Retention: time.Hour})
	n := b.upload("1993804417200000017", "1")
	n.Reference = "PO-1"
	old := b.openAs(n).ID
	b.attempt(old, delivered("r"))
	b.later(2 * time.Hour)
	young := b.open("1993804417200000017", "2").ID
	b.leave(ledger.Kept{ID: old, StoreKey: b.get(old).StoreKey})
	_, err := b.Remove(b.ctx, b.account)
	b.must(err)
	b.searches("199380", young)
	b.searches("PO-1")
	b.discard(young)
	b.later(2 * time.Hour)
	b.leave(ledger.Kept{ID: young, StoreKey: b.get(young).StoreKey})
	_, err = b.Remove(b.ctx, b.account)
	b.must(err)
	if slices.Contains(b.keys(), "find") {
		t.Error("the search index keeps what was removed")
	}
}

func TestSearchFollowsTheReference(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	n := b.upload("order", "1")
	n.Reference = "before"
	id := b.openAs(n).ID
	b.attempt(id, delivered("r"))
	n.Reference, n.StoreKey, n.Again = "after", n.StoreKey+"-2", true
	b.openAs(n)
	b.searches("after", id)
	b.searches("before")
}

// The sweep of the records makes the index anew.
func TestSearchIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	n := q.upload("1993804417200000017", "1")
	n.Reference = "PO-1"
	id := q.openAs(n).ID
	q.lose("find")
	q.searches("000017")
	q.reconcile()
	q.searches("000017", id)
	q.searches("PO-1", id)
}

func TestCountIsOfWhatIsListed(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.attempt(b.open("order-1", "1").ID, delivered("r"))
	b.later(2 * time.Hour)
	b.open("order-2", "1")
	b.open("order-2", "2")
	b.attempt(b.open("order-3", "1").ID, final())
	for _, q := range []ledger.Query{{}, {Since: time.Hour}, {OrderID: "order-2"}, {Search: "order-"}, {Search: "order-", Since: time.Hour}} {
		q.Account = b.account
		page, err := b.List(b.ctx, q)
		b.must(err)
		want := map[ledger.State]int64{}
		for _, u := range page.Uploads {
			want[u.State]++
		}
		got, err := b.Count(b.ctx, q)
		b.must(err)
		for _, s := range ledger.States() {
			if got[s] != want[s] {
				t.Errorf("%+v counts %v, want %v", q, got, want)
			}
		}
	}
}
