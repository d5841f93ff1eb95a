package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestGetAndFindNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.open("order", "receipt")
	for _, key := range []string{"", "nonsense", b.account, ledger.UploadID(b.account, "", "order", hash("x")), "order:" + b.account} {
		if _, err := b.Get(b.ctx, key); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("get %q: %v, want ErrNotFound", key, err)
		}
		if _, err := b.Find(b.ctx, "no "+key); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("find %q: %v, want ErrNotFound", key, err)
		}
	}
}

func TestFindByEveryRequestID(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	one, two := b.open("order", "1"), b.open("order-2", "2")
	b.attempt(one.ID, requestID(unclear(), "first"))
	b.attempt(one.ID, requestID(refused(ledger.FaultRefusing), "second"))
	b.attempt(one.ID, delivered("third"))
	b.attempt(two.ID, delivered("other"))
	for _, id := range []string{"first", "second", "third"} {
		b.finds(id, one.ID)
	}
	b.finds("other", two.ID)
	// A request id may be what another calls its order.
	b.attempt(b.open("third", "3").ID, unavailable())
	us, err := b.Find(b.ctx, "third")
	b.must(err)
	us = slices.DeleteFunc(us, func(u ledger.Upload) bool { return u.Account != b.account })
	if len(us) != 2 {
		t.Errorf("find gives %d uploads, want that of the order and that of the request", len(us))
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	if c, err := b.Counts(b.ctx, b.account); err != nil || c.Unfinished() != 0 || c.Oldest != 0 {
		t.Fatalf("counts of an empty account: %+v, %v", c, err)
	}
	i := 0
	for state, end := range ends() {
		for range int(state[0]) % 5 {
			i++
			end(b, b.open(fmt.Sprint("order-", i), "receipt").ID)
		}
	}
	c, err := b.Counts(b.ctx, b.account)
	b.must(err)
	for _, state := range ledger.States() {
		if want := int64(state[0]) % 5; c.ByState[state] != want {
			t.Errorf("%d uploads are %s, want %d", c.ByState[state], state, want)
		}
	}
	if c.Unfinished() != c.ByState[ledger.Queued]+c.ByState[ledger.Sending]+c.ByState[ledger.Waiting] {
		t.Errorf("unfinished %d of %+v", c.Unfinished(), c.ByState)
	}
	b.later(time.Hour)
	b.open("young", "receipt")
	if c, err = b.Counts(b.ctx, b.account); err != nil || c.Oldest < time.Hour || c.Oldest > time.Hour+time.Minute {
		t.Errorf("the oldest waits for %v, %v, want about an hour", c.Oldest, err)
	}
}

// An old upload that is sent again waits since then: an alert on the oldest must not fire for it.
func TestTheOldestWaitsSinceItWasSentAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	id := b.open("old", "receipt").ID
	b.attempt(id, final())
	b.state(id, ledger.Rejected)
	b.later(24 * time.Hour)
	b.open("other", "receipt")
	b.later(time.Hour)
	b.reopen(id)
	if c, err := b.Counts(b.ctx, b.account); err != nil || c.Oldest < time.Hour || c.Oldest > time.Hour+time.Minute {
		t.Errorf("the oldest waits for %v, %v, want about an hour", c.Oldest, err)
	}
}
