package ledger_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestOpenRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	n := b.upload("order", "receipt")
	n.UserID, n.Reference = "user", "ref"
	u := b.get(b.openAs(n).ID)
	if u.Account != b.account || u.OrderID != "order" || u.UserID != "user" || u.Reference != "ref" ||
		u.SHA256 != hash("receipt") || u.Size != 7 || u.MediaType != "image/png" || u.StoreKey != n.StoreKey {
		t.Errorf("record %+v does not hold what was opened", u)
	}
	if u.State != ledger.Queued || u.Generation != 1 || u.AttemptCount != 0 || u.CreatedAt.IsZero() || u.UpdatedAt != u.CreatedAt {
		t.Errorf("record %+v, want a fresh one", u)
	}
	if got := u.ExpiresAt.Sub(u.CreatedAt.Time); got != b.set.MaxAge {
		t.Errorf("it expires after %v, want %v", got, b.set.MaxAge)
	}
}

func TestOpenIsPerUserOrderVoucherAndAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	seen := map[string]bool{}
	for _, n := range []ledger.NewUpload{
		b.upload("order", "receipt"), b.upload("order", "another"), b.upload("order-2", "receipt"),
		{Account: b.account, OrderID: "order", UserID: "user", SHA256: hash("receipt"), StoreKey: "v"},
	} {
		o := b.openAs(n)
		if o.Duplicate || seen[o.ID] {
			t.Errorf("%+v: %+v, want a new upload", n, o)
		}
		seen[o.ID] = true
	}
}

func TestOpenRefusesNonsense(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	for name, change := range map[string]func(*ledger.NewUpload){
		"account in capitals": func(u *ledger.NewUpload) { u.Account = "ACCOUNT" },
		"no account":          func(u *ledger.NewUpload) { u.Account = "" },
		"long account":        func(u *ledger.NewUpload) { u.Account = strings.Repeat("a", 33) },
		"no hash":             func(u *ledger.NewUpload) { u.SHA256 = "" },
		"short hash":          func(u *ledger.NewUpload) { u.SHA256 = "abcd" },
		"ended queued":        func(u *ledger.NewUpload) { u.Ended = ledger.Queued },
		"ended delivered":     func(u *ledger.NewUpload) { u.Ended = ledger.Delivered },
		"hash not hex":        func(u *ledger.NewUpload) { u.SHA256 = strings.Repeat("x", 64) },
	} {
		n := b.upload("order", "receipt")
		change(&n)
		if o, err := b.Open(b.ctx, n); err == nil {
			t.Errorf("%s: %+v, want an error", name, o)
		}
	}
	if keys := b.keys(); len(keys) > 0 {
		t.Errorf("left behind: %v", keys)
	}
}

func TestOpenTenAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	const n = 10
	var got [n]ledger.Opened
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			u := b.upload("order", "receipt")
			u.StoreKey += strconv.Itoa(i)
			o, err := b.Open(b.ctx, u)
			if err != nil {
				t.Error(err)
			}
			got[i] = o
			if o.Duplicate && o.Drop != u.StoreKey {
				t.Errorf("the loser's voucher %s is not dropped: %+v", u.StoreKey, o)
			}
		})
	}
	wg.Wait()
	first := 0
	for _, o := range got {
		if o.ID != got[0].ID || o.Generation != 1 {
			t.Errorf("opened %+v, want id %s and generation 1", o, got[0].ID)
		}
		if !o.Duplicate {
			first++
		}
	}
	if first != 1 {
		t.Errorf("%d of %d say they were first", first, n)
	}
}

func TestOpenLostReply(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first := b.open("order", "receipt")
	if again := b.open("order", "receipt"); again != first {
		t.Errorf("head: repeated call gave %+v, want %+v", again, first)
	}
	second := b.open("order", "another")
	if again := b.open("order", "another"); again != second || again.Generation != 0 || again.Drop != "" {
		t.Errorf("in line: repeated call gave %+v, want %+v", again, second)
	}
	b.attempt(first.ID, delivered("r"))
	if again := b.open("order", "receipt"); again.Generation != 0 || again.Drop != "" {
		t.Errorf("ended: repeated call gave %+v, want no task and nothing to drop", again)
	}
}

func TestOpenLostReplyRevivesOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, delivered("r"))
	n := b.upload("order", "receipt")
	n.StoreKey, n.Again = "second", true
	b.openAs(n)
	b.attempt(o.ID, delivered("r2"))
	if again := b.openAs(n); again.Generation != 0 || again.Drop != "" {
		t.Errorf("repeated call gave %+v, want no task and nothing to drop", again)
	}
	b.state(o.ID, ledger.Delivered)
}

func TestOpenDuplicate(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first, second := b.open("order", "receipt"), b.open("order", "another")
	dup := func(content string) ledger.Opened {
		u := b.upload("order", content)
		u.StoreKey = "other"
		return b.openAs(u)
	}
	want := ledger.Opened{ID: first.ID, Duplicate: true, Generation: 1, Drop: "other"}
	if got := dup("receipt"); got != want {
		t.Errorf("head: %+v, want %+v", got, want)
	}
	want = ledger.Opened{ID: second.ID, Duplicate: true, Drop: "other"}
	if got := dup("another"); got != want {
		t.Errorf("in line: %+v, want %+v", got, want)
	}
	b.attempt(first.ID, final())
	want = ledger.Opened{ID: first.ID, Duplicate: true, Drop: "other"}
	if got := dup("receipt"); got != want {
		t.Errorf("rejected: %+v, want %+v", got, want)
	}
	b.state(first.ID, ledger.Rejected)
}

func TestOpenAgain(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*bundle, string){
		"delivered": func(b *bundle, id string) { b.attempt(id, delivered("r")) },
		"rejected":  func(b *bundle, id string) { b.attempt(id, final()) },
		"expired":   func(b *bundle, id string) { b.attempt(id, next(unavailable(), ledger.Expired)) },
		"discarded": func(b *bundle, id string) { b.discard(id) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			o := b.open("order", "receipt")
			b.attempt(o.ID, refused(ledger.FaultRefusing))
			end(b, o.ID)
			b.later(time.Hour)
			was := b.get(o.ID)
			n := b.upload("order", "receipt")
			n.StoreKey, n.Again = "new", true
			got := b.openAs(n)
			want := ledger.Opened{ID: o.ID, Revived: true, Generation: 2, Drop: b.account + "-receipt"}
			if got != want {
				t.Fatalf("opened %+v, want %+v", got, want)
			}
			if now := b.get(o.ID); !now.CreatedAt.Equal(was.CreatedAt.Time) || !now.ExpiresAt.After(was.ExpiresAt.Time) {
				t.Errorf("now it was created at %s and expires at %s, before at %s and %s", now.CreatedAt, now.ExpiresAt, was.CreatedAt, was.ExpiresAt)
			}
			run := b.started(o.ID, 2, "again")
			if run.Refusals != 0 || run.Unanswered != 0 || run.Age > time.Minute || run.StoreKey != "new" {
				t.Errorf("running %+v, want a fresh budget, age and the new voucher", run)
			}
			b.finish(run, delivered("r-again"))
			b.finds("no", o.ID)
			b.finds("r-again", o.ID)
		})
	}
}

func TestOpenAgainOnUnfinishedChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, refused(ledger.FaultRefusing))
	n := b.upload("order", "receipt")
	n.StoreKey, n.Again = "new", true
	if got := b.openAs(n); !got.Duplicate || got.Drop != "new" {
		t.Fatalf("opened %+v, want a duplicate", got)
	}
	if u := b.get(o.ID); u.State != ledger.Waiting || u.Refusals != 1 {
		t.Fatalf("upload %+v, want it as it was", u)
	}
}

func TestOpenWhatHasEnded(t *testing.T) {
	t.Parallel()
	for _, state := range []ledger.State{ledger.Rejected, ledger.Expired} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			n := b.upload("order", "receipt")
			n.Ended = state
			for range 2 {
				if o := b.openAs(n); o.Generation != 0 || o.Drop != "" || o.Duplicate {
					t.Fatalf("opened %+v, want it recorded, and no task", o)
				}
			}
			behind := b.open("order", "another")
			if behind.Generation != 1 {
				t.Fatalf("opened %+v, want it to be the head", behind)
			}
			id := ledger.UploadID(b.account, "", "order", hash("receipt"))
			b.state(id, state)
			if got := b.list(ledger.Query{Account: b.account, State: state}); len(got) != 1 || got[0] != id {
				t.Errorf("%s are %v, want %s", state, got, id)
			}
			b.reopen(id)
			if rec := b.attempt(behind.ID, delivered("r")); rec.NextID != id {
				t.Errorf("recorded %+v, want %s next", rec, id)
			}
			b.attempt(id, next(refused(ledger.FaultNone), state))
			b.later(b.set.KeepDead)
			b.leave(ledger.Kept{ID: behind.ID, StoreKey: b.account + "-another"}, ledger.Kept{ID: id, StoreKey: n.StoreKey})
		})
	}
}

// Its voucher has left with its delivery, or was put once more: the call is still known as the same.
func TestOpenLostReplyAfterDelivery(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(n *ledger.NewUpload){
		"kept by the ledger": func(n *ledger.NewUpload) { n.StoreKey, n.Inline = "", []byte("receipt") },
		"in a store":         func(*ledger.NewUpload) {},
		"put once more":      func(n *ledger.NewUpload) { n.StoreKey += "-more" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			n := b.upload("order", "receipt")
			n.Again, n.Token = true, "this call"
			if name == "kept by the ledger" {
				change(&n)
			}
			for revived := range 2 {
				if o := b.openAs(n); o.Duplicate || o.Revived != (revived == 1) || o.Generation != int64(revived)+1 {
					t.Fatalf("opened %+v", o)
				}
				id := ledger.UploadID(n.Account, "", "order", n.SHA256)
				b.attempt(id, delivered("r"))
				if n.StoreKey != "" {
					b.must(b.Left(b.ctx, b.account, []ledger.Kept{{ID: id, StoreKey: n.StoreKey}}))
				}
				more := n
				change(&more)
				if o := b.openAs(more); o.Duplicate || o.Revived || o.Generation != 0 || o.Drop != more.StoreKey {
					t.Fatalf("the same call gave %+v, want no task, and what it put dropped", o)
				}
				b.state(id, ledger.Delivered)
				n.Token = "another call"
			}
		})
	}
}

// A producer that has died makes its call once more, and puts the voucher once more: the first it
// put stays.
func TestOpenLostReplyWithAnotherVoucher(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	n := b.upload("order", "receipt")
	n.Again, n.Token = true, "this call"
	o := b.openAs(n)
	more := n
	more.StoreKey = "more"
	got, err := b.Open(b.ctx, more)
	b.must(err)
	if got.Duplicate || got.Generation != 1 || got.Drop != "more" || got.Holds != n.StoreKey {
		t.Errorf("opened %+v, want the voucher dropped that was put again", got)
	}
	if u := b.get(o.ID); u.StoreKey != n.StoreKey {
		t.Errorf("upload %+v, want it to hold what was put first", u)
	}
}
