package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// told gives an upload's actions without their times, which must be there and in order.
func (b *bundle) told(id string) []ledger.Action {
	b.t.Helper()
	actions := b.get(id).Actions
	for i := range actions {
		if actions[i].At.IsZero() || i > 0 && actions[i].At.Before(actions[i-1].At.Time) {
			b.t.Errorf("action %d of %+v has no time, or one before the last", i, actions)
		}
	}
	for i := range actions {
		actions[i].At = ledger.Time{}
	}
	return actions
}

func (b *bundle) wantActions(id string, want ...ledger.Action) {
	b.t.Helper()
	if got := b.told(id); !slices.Equal(got, want) {
		b.t.Errorf("actions %+v, want %+v", got, want)
	}
}

func TestActionsAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.wantActions(o.ID)
	b.attempt(o.ID, final())
	b.reopen(o.ID)
	b.attempt(o.ID, delivered("r"))
	n := b.upload("order", "receipt")
	n.Again, n.StoreKey, n.Who = true, "another copy", ledger.Who{By: "shop", Reason: "lost\tat\nPandaPon"}
	b.openAs(n)
	b.openAs(n) // the same call, its reply lost
	b.discard(o.ID)
	b.discard(o.ID)
	b.wantActions(
		o.ID,
		ledger.Action{By: "li-na", Action: ledger.ActionRetry, State: ledger.Rejected, Reason: "asked to"},
		ledger.Action{By: "shop", Action: ledger.ActionAgain, State: ledger.Delivered, Reason: "lost at PandaPon"},
		ledger.Action{By: "li-na", Action: ledger.ActionDiscard, State: ledger.Queued, Reason: "asked to"},
	)
	if u := b.get(o.ID); len(u.Attempts) != 2 || u.Attempts[0].Outcome != ledger.OutcomeRefused {
		t.Errorf("attempts %+v: the rounds before are history, and stay", u.Attempts)
	}
	p, err := b.List(b.ctx, ledger.Query{Account: b.account})
	b.must(err)
	if p.Uploads[0].Actions != nil || p.Uploads[0].Attempts != nil {
		t.Errorf("listed %+v, want neither attempts nor actions", p.Uploads[0])
	}
	if p, err = b.List(b.ctx, ledger.Query{Account: b.account, Full: true}); err != nil || len(p.Uploads[0].Actions) != 3 || len(p.Uploads[0].Attempts) != 2 {
		t.Errorf("listed in full %+v, %v", p.Uploads, err)
	}
}

func TestReplaceIsRecordedWithWhatItDiscards(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	head, behind := b.open("order", "1"), b.open("order", "2")
	n := b.upload("order", "3")
	n.Replace, n.Who = true, ledger.Who{By: "shop"}
	o := b.openAs(n)
	for _, id := range []string{head.ID, behind.ID} {
		b.wantActions(id, ledger.Action{By: "shop", Action: ledger.ActionReplace, State: ledger.Queued})
	}
	b.wantActions(o.ID)
}

func TestTheLastActionsAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	for i := range 53 {
		_, err := b.Reopen(b.ctx, o.ID, ledger.Who{By: strings.Repeat("b", 500), Reason: fmt.Sprint(i, strings.Repeat("r", 500))})
		b.must(err)
	}
	got := b.told(o.ID)
	if len(got) != 50 || !strings.HasPrefix(got[0].Reason, "3r") || !strings.HasPrefix(got[49].Reason, "52r") {
		t.Fatalf("%d actions kept, the first for %.10q", len(got), got[0].Reason)
	}
	if len(got[0].By) > 140 || len(got[0].Reason) > 310 {
		t.Errorf("%d bytes of a name and %d of a reason are kept", len(got[0].By), len(got[0].Reason))
	}
}

// What a person sends again has ended before all the same; the feed needs its end for a while.
func TestEndsThatWereUndoneAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	id := b.open("order", "receipt").ID
	b.attempt(id, final())
	b.reopen(id)
	for _, want := range []int64{1, 0} {
		n, err := b.rdb.ZCard(b.ctx, b.prefix()+"e:rejected").Result()
		if b.must(err); n != want {
			t.Errorf("%d ends are kept, want %d", n, want)
		}
		b.later(9 * 24 * time.Hour)
		_, err = b.Remove(b.ctx, b.account)
		b.must(err)
	}
}

func TestListByCode(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	for i, code := range []string{"4003", "4004", "4003"} {
		o := final()
		o.Code = code
		b.attempt(b.open(fmt.Sprint("order-", i), "receipt").ID, o)
	}
	p, err := b.List(b.ctx, ledger.Query{Account: b.account, State: ledger.Rejected, Code: "4003"})
	b.must(err)
	if len(p.Uploads) != 2 || p.Uploads[0].OrderID != "order-2" || p.Uploads[1].OrderID != "order-0" {
		t.Errorf("listed %+v, want those of the code", p.Uploads)
	}
}
