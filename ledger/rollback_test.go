package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// rollback notes the account's keys as they are, and gives a function that loses all that is
// written from here on: so it is when a replica takes over that lacks the last writes.
func (b *bundle) rollback() (lose func()) {
	b.t.Helper()
	saved := map[string]string{}
	for _, name := range b.keys() {
		dump, err := b.rdb.Dump(b.ctx, b.prefix()+name).Result()
		b.must(err)
		saved[name] = dump
	}
	return func() {
		b.t.Helper()
		for _, name := range b.keys() {
			b.must(b.rdb.Del(b.ctx, b.prefix()+name).Err())
		}
		for name, dump := range saved {
			b.must(b.rdb.Restore(b.ctx, b.prefix()+name, 0, dump).Err())
		}
	}
}

func TestFinishAfterALostBegin(t *testing.T) {
	t.Parallel()
	outcomes := map[string]struct {
		o        ledger.AttemptResult
		state    ledger.State
		refusals int
	}{
		"delivered":   {delivered("r"), ledger.Delivered, 0},
		"unavailable": {requestID(after(unavailable(), time.Hour), "r"), ledger.Waiting, 0},
		"refused":     {requestID(after(refused(ledger.FaultRefusing), time.Hour), "r"), ledger.Waiting, 1},
		"rejected":    {requestID(final(), "r"), ledger.Rejected, 1},
	}
	for name, c := range outcomes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			o := b.open("order", "receipt")
			lose := b.rollback()
			run := b.started(o.ID, 1, "n1")
			lose()
			if rec := b.finish(run, c.o); rec.State != c.state {
				t.Fatalf("recorded %+v, want it %s", rec, c.state)
			}
			if rec := b.finish(run, c.o); rec.How != "repeated" {
				t.Fatalf("recorded again %+v", rec)
			}
			u := b.get(o.ID)
			if u.AttemptCount != 1 || len(u.Attempts) != 1 || u.Refusals != c.refusals {
				t.Fatalf("upload %+v, want one attempt, %d refusals", u, c.refusals)
			}
			if a := u.Attempts[0]; a.Nonce != "n1" || a.Generation != 1 || a.Worker != "w" || a.StartedAt != run.StartedAt || a.Number != 1 {
				t.Errorf("attempt %+v, want what Begin had written down", a)
			}
			b.finds("r", o.ID)
			if c.state == ledger.Waiting {
				b.stopped(o.ID, 1, "n2", ledger.Early)
			}
		})
	}
}

// Its number is another attempt's by the time the first one's outcome comes in. Both were made, so
// both are recorded.
func TestFinishAfterALostBeginAndAnother(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ledger.AttemptResult{
		"delivered": delivered("first"), "unclear": requestID(unclear(), "first"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			up := b.open("order", "receipt")
			lose := b.rollback()
			first := b.started(up.ID, 1, "n1")
			lose()
			second := b.started(up.ID, 1, "n2")
			rec := b.finish(first, o)
			if rec.How != "late" || rec.State.Final() != (o.Outcome == ledger.OutcomeDelivered) {
				t.Fatalf("recorded %+v", rec)
			}
			b.finish(second, delivered("second"))
			u := b.get(up.ID)
			if u.State != ledger.Delivered || u.AttemptCount != 2 || len(u.Attempts) != 2 {
				t.Fatalf("upload %+v, want it delivered in two attempts", u)
			}
			if u.Attempts[0].Nonce != "n1" || u.Attempts[1].Nonce != "n2" || u.Attempts[0].Number == u.Attempts[1].Number {
				t.Errorf("attempts %+v", u.Attempts)
			}
			b.finds("first", up.ID)
			b.finds("second", up.ID)
		})
	}
}

func TestDeliveryThatRedisLost(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o, behind := b.open("order", "receipt"), b.open("order", "another")
	lose := b.rollback()
	run := b.started(o.ID, 1, "n1")
	was := delivered("r")
	was.Duration = 3 * time.Second
	b.finish(run, was)
	lose()
	b.state(o.ID, ledger.Queued)
	for range 2 {
		rec, err := b.RecordDelivery(b.ctx, o.ID, run.Delivery(was))
		b.must(err)
		if rec.State != ledger.Delivered || rec.NextID != behind.ID {
			t.Fatalf("recorded %+v, want it delivered, and %s next", rec, behind.ID)
		}
	}
	b.finds("r", o.ID)
	a := b.get(o.ID).Attempts[0]
	if took := a.EndedAt.Sub(run.StartedAt.Time); took != 3*time.Second || a.DurationMS != 3000 || a.HTTPStatus != was.HTTPStatus {
		t.Errorf("attempt %+v, want it as it was", a)
	}
}

func TestFinishOfAnUploadThatRedisLost(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	lose := b.rollback()
	run := b.started(b.open("order", "receipt").ID, 1, "n1")
	lose()
	if _, err := b.Finish(b.ctx, run, delivered("r")); !errors.Is(err, ledger.ErrNotFound) {
		t.Fatalf("error %v, want ErrNotFound", err)
	}
	b.open("order", "receipt")
	if rec := b.finish(run, delivered("r")); rec.State != ledger.Delivered {
		t.Fatalf("recorded %+v, want it delivered once its record is there again", rec)
	}
}

// The voucher was put before a loss, and recorded after it. It is enqueued again: its bytes take
// the place of the lost.
func TestHoldInstead(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	lost := b.get(o.ID).StoreKey
	n := b.upload("order", "receipt")
	n.StoreKey = "fresh"
	if got, err := b.Open(b.ctx, n); err != nil || !got.Duplicate || got.Holds != lost || got.Drop != "fresh" {
		t.Fatalf("opened %+v, %v, want to be told of both", got, err)
	}
	for i, key := range []string{"fresh", "fresh", "another"} { // the second is the same call again
		if held, err := b.HoldInstead(b.ctx, ledger.Instead{ID: o.ID, Former: lost, StoreKey: key, CRC32C: "c", Lost: true}); err != nil || held != (i < 2) {
			t.Errorf("%s instead: %v, %v", key, held, err)
		}
	}
	if u := b.get(o.ID); u.StoreKey != "fresh" || u.CRC32C != "c" {
		t.Errorf("upload %+v, want it to hold the bytes that are there", u)
	}
}

func TestReleaseAfterALostBegin(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, after(unavailable(), -time.Hour))
	lose := b.rollback()
	run := b.started(o.ID, 1, "n2")
	lose()
	b.must(b.Release(b.ctx, run, ""))
	if u := b.get(o.ID); u.State != ledger.Waiting || len(u.Attempts) != 1 {
		t.Fatalf("upload %+v, want the attempt before it to stay", u)
	}
}

// Two workers made an attempt each, and the one of the second tells it first: the other is recorded
// as well.
func TestLostAttemptsAreToldInAnyOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	up := b.open("order", "receipt")
	lose := b.rollback()
	first := b.started(up.ID, 1, "n1")
	b.finish(first, requestID(after(unavailable(), -time.Hour), "first"))
	second := b.started(up.ID, 1, "n2")
	b.finish(second, delivered("second"))
	lose()
	b.finish(second, delivered("second"))
	for _, how := range []string{"late", "repeated"} {
		if rec := b.finish(first, requestID(unavailable(), "first")); rec.How != how || rec.State != ledger.Delivered {
			t.Fatalf("recorded %+v, want it %s", rec, how)
		}
	}
	u := b.get(up.ID)
	if len(u.Attempts) != 2 || u.Attempts[0].Nonce != "n2" || u.Attempts[1].Nonce != "n1" || u.RequestID != "second" {
		t.Fatalf("upload %+v, want both attempts, and the delivery shown", u)
	}
	b.finds("first", up.ID)
	b.finds("second", up.ID)
}

// The one that ended the upload is shown, although the other was recorded after it.
func TestLostAttemptIsToldAfterTheEnd(t *testing.T) {
	t.Parallel()
	for state, o := range map[ledger.State]ledger.AttemptResult{
		ledger.Delivered: delivered("end"), ledger.Rejected: requestID(final(), "end"),
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := setup(t, ledger.Settings{})
			up := b.open("order", "receipt")
			lose := b.rollback()
			first := b.started(up.ID, 1, "n1")
			b.finish(first, unavailable())
			lose()
			b.finish(b.started(up.ID, 1, "n2"), o)
			for _, how := range []string{"late", "repeated"} {
				if rec := b.finish(first, unavailable()); rec.How != how || rec.State != state {
					t.Fatalf("recorded %+v, want it %s", rec, how)
				}
			}
			u := b.get(up.ID)
			if u.AttemptCount != 2 || u.Outcome != o.Outcome || u.RequestID != "end" || u.Code != o.Code {
				t.Errorf("upload %+v, want what ended it", u)
			}
			if state == ledger.Rejected {
				b.reopen(up.ID)
				b.attempt(up.ID, unclear())
				if u := b.get(up.ID); u.Outcome != ledger.OutcomeUnclear {
					t.Errorf("upload %+v, want its last attempt", u)
				}
			}
		})
	}
}
