package ledger_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

// cutOff opens an upload with two attempts: the first was cut off, the second is under way.
func (b *bundle) cutOff(order string) (first, second ledger.Running) {
	b.t.Helper()
	o := b.open(order, "receipt")
	first = b.started(o.ID, 1, "n1")
	b.later(lease)
	return first, b.started(o.ID, 1, "n2")
}

// finds asserts that a key finds these uploads of the account, and no others of it.
func (b *bundle) finds(key string, want ...string) {
	b.t.Helper()
	us, err := b.Find(b.ctx, key)
	b.must(err)
	var got []string
	for _, u := range us {
		if u.Account == b.account {
			got = append(got, u.ID)
		}
	}
	if !slices.Equal(got, want) {
		b.t.Fatalf("%q finds %v, want %v", key, got, want)
	}
}

func TestLateDeliveryEndsTheUpload(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first, second := b.cutOff("order")
	behind := b.open("order", "another")
	rec := b.finish(first, delivered("late"))
	if rec.How != "late" || rec.State != ledger.Delivered || rec.NextID != behind.ID {
		t.Fatalf("recorded %+v, want a late delivery and the next in the order queue", rec)
	}
	b.finds("late", first.ID)
	b.stopped(first.ID, 1, "n3", ledger.Stale)
	// Nobody knows yet what became of the other attempt.
	if as := b.get(first.ID).Attempts; as[0].Outcome != ledger.OutcomeDelivered || as[1].Outcome != ledger.OutcomeInterrupted {
		t.Fatalf("attempts %+v, want delivered and interrupted", as)
	}
	rec = b.finish(second, requestID(refused(ledger.FaultRefusing), "second"))
	if rec.How != "late" || rec.State != ledger.Delivered {
		t.Fatalf("recorded %+v, want the upload to stay delivered", rec)
	}
	b.finds("second", first.ID)
	u := b.get(first.ID)
	if u.Refusals != 0 || u.Attempts[1].Outcome != ledger.OutcomeRefused {
		t.Errorf("upload %+v, want the second attempt recorded and nothing spent", u)
	}
	page, err := b.List(b.ctx, ledger.Query{Account: b.account, State: ledger.Delivered})
	b.must(err)
	for _, u := range append(page.Uploads, u) {
		if u.Outcome != ledger.OutcomeDelivered || u.RequestID != "late" || u.Code != "200" {
			t.Errorf("shown as %s, request id %q: want the attempt that delivered it", u.Outcome, u.RequestID)
		}
	}
}

func TestLateAnswerThatIsNoDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first, second := b.cutOff("order")
	rec := b.finish(first, requestID(next(refused(ledger.FaultRefusing), ledger.Rejected), "late"))
	if rec.How != "late" || rec.State != ledger.Sending {
		t.Fatalf("recorded %+v, want the upload to be left alone", rec)
	}
	b.finds("late", first.ID)
	u := b.get(first.ID)
	if u.Attempts[0].Outcome != ledger.OutcomeRefused || u.Refusals != 0 {
		t.Fatalf("upload %+v, want the answer in place of interrupted", u)
	}
	if again := b.finish(first, refused(ledger.FaultRefusing)); again.How != "repeated" {
		t.Errorf("recorded again: %+v", again)
	}
	if rec := b.finish(second, delivered("r")); rec.How != "recorded" || rec.State != ledger.Delivered {
		t.Fatalf("recorded %+v, want it delivered", rec)
	}
}

func TestLateDeliveryInEveryState(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*bundle, ledger.Running){
		"waiting":   func(b *bundle, r ledger.Running) { b.finish(r, unavailable()) },
		"rejected":  func(b *bundle, r ledger.Running) { b.finish(r, final()) },
		"expired":   func(b *bundle, r ledger.Running) { b.finish(r, next(unavailable(), ledger.Expired)) },
		"discarded": func(b *bundle, r ledger.Running) { b.later(lease); b.discard(r.ID) },
		"reopened":  func(b *bundle, r ledger.Running) { b.finish(r, final()); b.reopen(r.ID) },
		"reopened, in line": func(b *bundle, r ledger.Running) {
			b.open("order", "another")
			b.finish(r, final())
			b.reopen(r.ID)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			first, second := b.cutOff("order")
			end(b, second)
			rec := b.finish(first, delivered("late"))
			if rec.How != "late" || rec.State != ledger.Delivered {
				t.Fatalf("recorded %+v, want a late delivery", rec)
			}
			b.finds("late", first.ID)
			counts, err := b.Counts(b.ctx, b.account)
			b.must(err)
			want := int64(0)
			if strings.HasSuffix(name, "in line") {
				want = 1
			}
			if counts.ByState[ledger.Delivered] != 1 || counts.Unfinished() != want {
				t.Errorf("counts %+v, want one delivered and %d unfinished", counts, want)
			}
			if u := b.get(first.ID); u.DeliveredAt.IsZero() || u.RequestID != "late" {
				t.Errorf("upload %+v, want when and by which request it was delivered", u)
			}
		})
	}
}

func TestLateAnswerOfATrimmedAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	first := b.started(o.ID, 1, "first")
	b.later(lease)
	for i := range ledger.KeptAttempts + 1 {
		b.attempt(o.ID, requestID(refused(ledger.FaultNone), "req-"+strconv.Itoa(i)))
	}
	for range 2 {
		b.finish(first, requestID(unclear(), "trimmed"))
		b.finds("trimmed", o.ID)
	}
	n, err := b.rdb.LLen(b.ctx, b.prefix()+"x:"+b.key(o.ID)).Result()
	b.must(err)
	if n != 2 { // req-0, and the late one once
		t.Errorf("%d request ids of trimmed attempts are kept, want 2", n)
	}
	rec := b.finish(first, delivered("trimmed too"))
	if rec.State != ledger.Delivered {
		t.Fatalf("recorded %+v, want it delivered", rec)
	}
	b.finds("trimmed too", o.ID)
	if u := b.get(o.ID); u.Outcome != ledger.OutcomeDelivered || u.RequestID != "trimmed too" {
		t.Errorf("shown as %s, request id %q: want the attempt that delivered it", u.Outcome, u.RequestID)
	}
}

// Any answer, however odd, can be looked up by the id that came with it.
func TestRequestIDsAreFound(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	for i, id := range []string{
		"e5c23a8d80ab4b2fb28ec7e8d3a4c1f0", "with space", "tab\tin it", "line\nend", strings.Repeat("long", 60), "ünïcode", "{tag}:*",
	} {
		o := b.open(fmt.Sprint("order-", i), "receipt")
		b.attempt(o.ID, requestID(refused(ledger.FaultNone), id))
		b.finds(id, o.ID)
		b.finds(b.get(o.ID).RequestID, o.ID)
	}
}
