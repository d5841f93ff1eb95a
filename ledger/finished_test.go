package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// finished reads all there is after a time, in pages.
func (b *bundle) finished(account string, after ledger.Time, limit int) (us []ledger.Upload, until ledger.Time) {
	b.t.Helper()
	for {
		page, err := b.Finished(b.ctx, account, after, limit)
		b.must(err)
		us = append(us, page.Uploads...)
		if page.Until == after {
			return us, after
		}
		after = page.Until
	}
}

// past waits until the clock has moved on, so that what ended before is complete.
func (b *bundle) past(t ledger.Time) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		now, err := b.Now(b.ctx, b.account)
		b.must(err)
		if now.After(t.Time) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatal("the clock stands still")
		}
	}
}

// Eight workers deliver the orders' uploads while a reader follows in small pages: it misses none,
// gets none twice, and each order's in order.
func TestFinishedMissesNothingWhileOthersEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	const orders, each = 40, 10
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			for o := w; o < orders; o += 8 {
				for n := range each {
					id := b.openAs(b.upload(fmt.Sprint("o", o), fmt.Sprintf("v%d-%d", o, n))).ID
					if b.finish(b.started(id, 1, id), delivered(id)).State != ledger.Delivered {
						t.Errorf("%s was not delivered", id)
					}
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { work.Wait(); close(over) }()
	var seen []ledger.Upload
	var after ledger.Time
	for last := false; !last; {
		select {
		case <-over:
			now, err := b.Now(b.ctx, b.account)
			b.must(err)
			b.past(now)
			last = true
		default:
		}
		us, until := b.finished(b.account, after, 3)
		seen, after = append(seen, us...), until
	}
	known := map[string]bool{}
	next := map[string]int{}
	for _, u := range seen {
		if known[u.ID] {
			t.Errorf("%s came twice", u.ID)
		}
		known[u.ID] = true
		if u.SHA256 != hash(fmt.Sprintf("v%s-%d", u.OrderID[1:], next[u.OrderID])) {
			t.Errorf("order %s: not in order at %d", u.OrderID, next[u.OrderID])
		}
		next[u.OrderID]++
	}
	if len(seen) != orders*each {
		t.Fatalf("%d of %d", len(seen), orders*each)
	}
}

// What was sent again, or discarded, before its end was read is given at that end all the same, as
// it was then.
func TestFinishedTellsEachEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	id := b.open("1", "a").ID
	no := final()
	no.Code, no.RequestID = "4711", "r-no"
	b.attempt(id, no)
	want := []ledger.Upload{b.get(id)}
	b.past(want[0].EndedAt)
	b.reopen(id)
	b.attempt(id, next(unavailable(), ledger.Expired))
	want = append(want, b.get(id))
	b.past(want[1].EndedAt)
	b.reopen(id)
	b.attempt(id, delivered("r"))
	want = append(want, b.get(id))
	b.past(want[2].EndedAt)
	n := b.upload("1", "a")
	n.StoreKey, n.Again = "new", true
	b.openAs(n)

	for _, limit := range []int{1, 10} {
		got, _ := b.finished(b.account, ledger.Time{}, limit)
		if len(got) != len(want) {
			t.Fatalf("%d ends in pages of %d, want %d: %+v", len(got), limit, len(want), got)
		}
		for i, u := range got {
			w := want[i]
			if u.ID != id || u.State != w.State || u.Outcome != w.Outcome || u.Code != w.Code || u.RequestID != w.RequestID ||
				u.EndedAt != w.EndedAt || u.DeliveredAt != w.DeliveredAt || u.AttemptCount != w.AttemptCount || u.Attempts != nil {
				t.Errorf("end %d: got %+v, want %+v", i+1, u, w)
			}
		}
	}
}

// A page ends with a millisecond, however many ended in it, and the uploads of one order stay in
// order within it.
func TestFinishedKeepsAMillisecondTogether(t *testing.T) {
	t.Parallel()
	b := newBundle(t, redistest.Start(t, redistest.Options{}).Client(), ledger.Settings{}) // all accounts are read
	var want []string
	for i := range 30 {
		id := b.open("1", strconv.Itoa(i)).ID
		b.attempt(id, delivered(id))
		want = append(want, id)
	}
	b.past(b.get(want[29]).EndedAt)
	done := b.get(want[0]).EndedAt.UnixMilli()
	for i, id := range want {
		ms := done + int64(i/20) // twenty in one, ten in the next
		b.must(b.rdb.ZAdd(b.ctx, b.prefix()+"s:delivered", redisZ(float64(ms), b.key(id))).Err())
		b.must(b.rdb.HSet(b.ctx, b.prefix()+"u:"+b.key(id), "done", ms).Err())
	}
	page, err := b.Finished(b.ctx, b.account, ledger.Time{}, 5)
	b.must(err)
	if len(page.Uploads) != 20 {
		t.Fatalf("a page of %d", len(page.Uploads))
	}
	us, _ := b.finished("", ledger.Time{}, 7)
	var got []string
	for _, u := range us {
		if u.Account == b.account {
			got = append(got, u.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// After the clock was set back, what ends now has an earlier time than what was read before.
func TestFinishedReadsAgainWhenTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	id := b.open("1", "a").ID
	b.attempt(id, delivered(id))
	b.past(b.get(id).EndedAt)
	page, err := b.Finished(b.ctx, b.account, ledger.Time{Time: time.Now().Add(time.Hour)}, 5)
	b.must(err)
	if len(page.Uploads) != 1 || page.Until != b.get(id).EndedAt {
		t.Fatalf("%+v", page)
	}
}

func TestFinishedOfAnAccountThatIsNone(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	page, err := b.Finished(b.ctx, b.account, ledger.Time{}, 5)
	if err != nil || len(page.Uploads) != 0 || !page.Until.IsZero() {
		t.Fatalf("%+v %v", page, errors.Unwrap(err))
	}
}

// The nodes of a cluster have clocks of their own: the one that counts is the one that writes an
// account's ends.
func TestNowIsTheAccountsNodes(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	rdb := c.Client()
	t.Cleanup(func() { _ = rdb.Close() })
	account := redistest.Account(t)
	owner, err := rdb.MasterForKey(t.Context(), "voucherd:{"+ledger.Queue(account)+"}:")
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(rdb, ledger.Settings{})
	before, calls := redistest.Commands(t, owner)["time"], 20
	for range calls {
		if _, err := l.Now(t.Context(), account); err != nil {
			t.Fatal(err)
		}
	}
	if n := redistest.Commands(t, owner)["time"] - before; n != int64(calls) {
		t.Errorf("%d of %d were asked of the account's node", n, calls)
	}
}
