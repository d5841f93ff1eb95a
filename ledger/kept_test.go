package ledger_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// leave asserts which vouchers are to leave the blob store, and notes that they have.
func (b *bundle) leave(want ...ledger.Kept) {
	b.t.Helper()
	ks, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	again, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	if !slices.Equal(ks, want) || !slices.Equal(ks, again) {
		b.t.Fatalf("leaving %v and then %v, want %v until they have left", ks, again, want)
	}
	b.must(b.Left(b.ctx, b.account, ks))
}

func TestVouchersLeave(t *testing.T) {
	t.Parallel()
	set := ledger.Settings{KeepSent: time.Hour, KeepDead: 2 * time.Hour}
	cases := map[string]struct {
		end   func(*bundle, string)
		after time.Duration
	}{
		"delivered": {func(b *bundle, id string) { b.attempt(id, delivered("r")) }, time.Hour},
		"rejected":  {func(b *bundle, id string) { b.attempt(id, final()) }, 2 * time.Hour},
		"expired":   {func(b *bundle, id string) { b.attempt(id, next(unclear(), ledger.Expired)) }, 2 * time.Hour},
		"discarded": {func(b *bundle, id string) { b.discard(id) }, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, set)
			o := b.open("order", "receipt")
			b.leave()
			c.end(b, o.ID)
			key := b.get(o.ID).StoreKey
			if c.after > 0 {
				b.later(c.after - time.Minute)
				b.leave()
				b.later(time.Minute)
			}
			b.leave(ledger.Kept{ID: o.ID, StoreKey: key})
			b.leave()
			if u := b.get(o.ID); u.StoreKey != "" || u.State != ledger.State(name) {
				t.Errorf("upload %+v, want it without a voucher", u)
			}
			if slices.Contains(b.keys(), "keep") {
				t.Error("the index of vouchers is not empty")
			}
		})
	}
}

func TestDeliveredVoucherMayLeaveAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	k := ledger.Kept{ID: o.ID, StoreKey: b.get(o.ID).StoreKey}
	b.must(b.Left(b.ctx, b.account, nil))
	b.must(b.Left(b.ctx, b.account, []ledger.Kept{k}))
	if u := b.get(o.ID); u.StoreKey != k.StoreKey {
		t.Fatalf("upload %+v: the voucher of an unfinished upload was noted as gone", u)
	}
	b.attempt(o.ID, delivered("r"))
	b.must(b.Left(b.ctx, b.account, []ledger.Kept{k, {ID: "nonsense", StoreKey: "k"}}))
	b.leave()
	if u := b.get(o.ID); u.StoreKey != "" {
		t.Fatalf("upload %+v, want it without a voucher", u)
	}
}

// From the moment a voucher is named as leaving, its upload must not be sent again.
func TestReopenWhatIsLeaving(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, final())
	b.later(b.set.KeepDead)
	_, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	if _, err := b.Reopen(b.ctx, o.ID, ledger.Who{}); !errors.Is(err, ledger.ErrNotKept) {
		t.Fatalf("reopen: %v, want ErrNotKept", err)
	}
	b.state(o.ID, ledger.Rejected)
}

func TestReopenKeepsTheVoucher(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, final())
	b.reopen(o.ID)
	b.later(2 * b.set.KeepDead)
	b.leave()
	b.attempt(o.ID, delivered("r"))
}

// revive opens an ended upload again, with a voucher of this store key.
func (b *bundle) revive(order, content, storeKey string) ledger.Opened {
	b.t.Helper()
	n := b.upload(order, content)
	n.StoreKey, n.Again = storeKey, true
	return b.openAs(n)
}

// A voucher was being deleted when its upload was revived and ended anew: the new voucher is not
// forgotten.
func TestLeftLate(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, final())
	b.later(b.set.KeepDead)
	old, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	if got := b.revive("order", "receipt", "new"); got.Drop != old[0].StoreKey {
		t.Fatalf("opened %+v, want the voucher that was leaving to be dropped: %v", got, old)
	}
	b.attempt(o.ID, final())
	b.must(b.Left(b.ctx, b.account, old))
	b.leave()
	b.later(b.set.KeepDead)
	b.leave(ledger.Kept{ID: o.ID, StoreKey: "new"})
	b.leave()
}

// The producer died before it dropped the voucher that a revived upload no longer needs.
func TestDropIsNotForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	old := b.get(o.ID).StoreKey
	b.attempt(o.ID, final())
	b.revive("order", "receipt", "new")
	b.attempt(o.ID, final())
	b.reopen(o.ID)
	b.later(b.set.Grace)
	b.leave(ledger.Kept{ID: o.ID, StoreKey: old})
	b.leave()
	if u := b.get(o.ID); u.StoreKey != "new" {
		t.Fatalf("upload %+v, want it to hold its new voucher", u)
	}
	b.attempt(o.ID, delivered("r"))
	b.leave(ledger.Kept{ID: o.ID, StoreKey: "new"})
}

func TestRemoveLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	stays := b.open("stays", "receipt")
	b.attempt(stays.ID, final())
	before := b.lasting()
	gone := map[string]func(string){
		"delivered": func(id string) { b.attempt(id, delivered("r-1")) },
		"discarded": func(id string) { b.discard(id) },
		"late": func(id string) {
			run := b.started(id, 1, "first")
			b.later(lease)
			for range ledger.KeptAttempts + 5 {
				b.attempt(id, requestID(refused(ledger.FaultNone), "trimmed-"+time.Now().String()))
			}
			b.finish(run, delivered("late"))
		},
		"revived": func(id string) {
			b.attempt(id, delivered("r-2"))
			b.revive("revived", "receipt", "new")
			b.attempt(id, delivered("r-3"))
		},
		"retried": func(id string) {
			b.attempt(id, next(unavailable(), ledger.Expired))
			b.reopen(id)
			b.must(b.Release(b.ctx, b.started(id, 2, "n"), ""))
			b.attempt(id, delivered("r-4"))
		},
	}
	for order, end := range gone {
		end(b.open(order, "receipt").ID)
	}
	b.later(b.set.Retention + time.Hour)
	if n, err := b.Remove(b.ctx, b.account); err != nil || n.Uploads != 0 {
		t.Fatalf("removed %v, %v, before their vouchers left", n, err)
	}
	for range 2 { // one that was revived has two vouchers
		ks, err := b.Leaving(b.ctx, b.account)
		b.must(err)
		b.must(b.Left(b.ctx, b.account, ks))
	}
	if n, err := b.Remove(b.ctx, b.account); err != nil || n.Uploads != len(gone) {
		t.Fatalf("removed %v, %v, want %d", n, err, len(gone))
	}
	if after := b.lasting(); !slices.Equal(after, before) {
		t.Errorf("keys before %v\nand after  %v", before, after)
	}
	b.state(stays.ID, ledger.Rejected)
}

func TestRemoveKeepsTheYoung(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, delivered("r"))
	b.must(b.Left(b.ctx, b.account, []ledger.Kept{{ID: o.ID, StoreKey: b.get(o.ID).StoreKey}}))
	b.later(b.set.Retention - time.Hour)
	if n, err := b.Remove(b.ctx, b.account); err != nil || n.Uploads != 0 {
		t.Fatalf("removed %v, %v, want none", n, err)
	}
	b.state(o.ID, ledger.Delivered)
}

// findable counts the request ids by which the account's uploads are found.
func (b *bundle) findable() (n int64) {
	b.t.Helper()
	for _, name := range b.keys() {
		if strings.HasPrefix(name, "r:") {
			n += b.rdb.HLen(b.ctx, b.prefix()+name).Val()
		}
	}
	return n
}

// Redis does nothing else while a script runs: long histories go in several short calls.
func TestRemoveTakesLongHistoriesInPieces(t *testing.T) {
	t.Parallel()
	const most = 1000 + ledger.KeptAttempts
	b := setup(t, ledger.Settings{})
	b.attempt(b.open("stays", "receipt").ID, final())
	before, others := b.lasting(), b.findable()
	total := int64(0)
	for _, attempts := range []int{most + 250, 150, 150, 1} {
		o := b.open("order"+strconv.FormatInt(total, 10), "receipt")
		for n := 1; n < attempts; n++ {
			b.finish(b.started(o.ID, 1, strconv.Itoa(n)), requestID(refused(ledger.FaultNone), o.ID+strconv.Itoa(n)))
		}
		b.attempt(o.ID, delivered(o.ID))
		total += int64(attempts)
	}
	b.later(b.set.Retention + time.Hour)
	ks, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	b.must(b.Left(b.ctx, b.account, ks))
	had := b.findable()
	if had != others+total {
		t.Fatalf("%d request ids are found, want %d", had, others+total)
	}
	var sum ledger.Removed
	for {
		r, err := b.Remove(b.ctx, b.account)
		b.must(err)
		left := b.findable()
		if work := had - left; work > most || work != int64(r.Attempts) {
			t.Fatalf("one call removed %d request ids and says %+v, want at most %d", work, r, most)
		}
		if r == (ledger.Removed{}) {
			break
		}
		had, sum.Uploads, sum.Attempts = left, sum.Uploads+r.Uploads, sum.Attempts+r.Attempts
	}
	if want := (ledger.Removed{Uploads: 4, Attempts: int(total)}); sum != want {
		t.Errorf("removed %+v, want %+v", sum, want)
	}
	if after := b.lasting(); !slices.Equal(after, before) {
		t.Errorf("keys before %v\nand after  %v", before, after)
	}
}

// An API that repeats its request ids must not make those of another upload vanish.
func TestRemoveSparesAnothersRequestID(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	old, young := b.open("old", "receipt"), b.open("young", "receipt")
	b.attempt(old.ID, delivered("same"))
	b.later(b.set.Retention)
	b.attempt(young.ID, delivered("same"))
	ks, err := b.Leaving(b.ctx, b.account)
	b.must(err)
	b.must(b.Left(b.ctx, b.account, ks))
	if n, err := b.Remove(b.ctx, b.account); err != nil || n.Uploads != 1 {
		t.Fatalf("removed %v, %v, want 1", n, err)
	}
	b.finds("same", young.ID)
}

// Vouchers that the ledger keeps itself leave page by page, as all others do.
func TestKeptByTheLedgerLeaveByPages(t *testing.T) {
	t.Parallel()
	const pages, page = 2, 500
	b := setup(t, ledger.Settings{KeepSent: time.Hour})
	var revived string
	for i := range pages*page + 1 {
		n := b.upload(strconv.Itoa(i), "receipt")
		n.StoreKey, n.Inline = "", []byte("receipt")
		revived = b.openAs(n).ID
		b.attempt(revived, delivered(revived))
	}
	b.later(b.set.KeepSent)
	for range pages + 1 {
		ks, err := b.Leaving(b.ctx, b.account)
		b.must(err)
		if len(ks) == 0 {
			t.Fatal("the page says that there are no more")
		}
		b.must(b.Left(b.ctx, b.account, ks))
	}
	b.leave()
	for _, name := range b.keys() {
		if name == "keep" || strings.HasPrefix(name, "b:") {
			t.Errorf("%s is left", name)
		}
	}
	// What is told again late takes nothing from a voucher that came since.
	n := b.upload(strconv.Itoa(pages*page), "receipt")
	n.StoreKey, n.Inline, n.Again = "", []byte("receipt"), true
	b.openAs(n)
	b.attempt(revived, delivered("again"))
	b.must(b.Left(b.ctx, b.account, []ledger.Kept{{ID: revived}}))
	if !b.get(revived).Inline || !slices.Contains(b.keys(), "keep") {
		t.Error("the voucher that came since is not kept")
	}
}

// Once a call has done its part it reads nothing more.
func TestRemoveReadsNoMoreThanItTakes(t *testing.T) {
	t.Parallel()
	b := newBundle(t, redistest.Start(t, redistest.Options{}).Client(), ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, delivered("r"))
	b.must(b.Left(b.ctx, b.account, []ledger.Kept{{ID: o.ID, StoreKey: b.get(o.ID).StoreKey}}))
	for i := range 1001 {
		b.must(b.rdb.RPush(b.ctx, b.prefix()+"x:"+b.key(o.ID), i).Err())
	}
	b.later(b.set.Retention + time.Hour)
	reads := func() int64 { return redistest.Commands(t, b.rdb)["zrangebyscore"] }
	before := reads()
	if r, err := b.Remove(b.ctx, b.account); err != nil || r != (ledger.Removed{Attempts: 1000}) {
		t.Fatalf("removed %+v, %v", r, err)
	}
	if n := reads() - before; n != 1 {
		t.Errorf("it read %d states, want the one that it had to do with", n)
	}
}
