package audit

import (
	"slices"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// Loss is a time whose writes Redis has forgotten.
type Loss struct {
	From time.Time // writes from here on are lost, and none before; zero: all
	Gone time.Time // from here on nobody sees them
	Back time.Time // from here on all is there again that was not lost for good
}

const (
	delayed = time.Second     // most between a call and what is written of it, on a busy machine
	settles = 5 * time.Second // within this a call's voucher has left the blob store
)

// Forgotten counts what went with Redis, and may.
type Forgotten struct {
	Uploads int // that the ledger does not know
	Taken   int // of these, by the API
	Calls   int // that the ledger does not know
}

// forgets says whether a write around this time may have been lost.
func (l Loss) forgets(at time.Time) bool {
	return at.After(l.From.Add(-delayed)) && at.Before(l.Gone.Add(delayed))
}

// forgetsUpload says whether an upload may have been lost: it was written at some time between the
// question and the answer, which on a busy machine lie seconds apart.
func (l Loss) forgetsUpload(h Enqueued) bool { return Span{l.From, l.Gone}.Overlaps(h.Asked, h.At) }

// mayForget says whether an upload may be unknown. What was accepted just before a loss may be lost
// with the blob store in Redis; what a file store held must be there, unless it was delivered and
// so had left.
func (x index) mayForget(h Enqueued, taken bool) bool {
	if !x.InRedis {
		return taken && len(x.Losses) > 0
	}
	return slices.ContainsFunc(x.Losses, func(l Loss) bool { return l.forgetsUpload(h) })
}

// mayForgetCall says whether a call may be unknown. An answer that came after the loss is written
// to the Redis that is there then, unless that has lost the upload too. A call that broke off, as it
// does when Redis has lost the rest of its voucher, does not say of which upload it is.
func (x index) mayForgetCall(r sandbox.Request) bool {
	h := x.enqueued[voucher(r.OrderID, r.SHA256)]
	return slices.ContainsFunc(x.Losses, func(l Loss) bool {
		under := l.forgets(r.At) || l.forgets(r.AnsweredAt)
		lost := l.forgetsUpload(h) || !r.Complete && slices.ContainsFunc(x.Enqueued, l.forgetsUpload)
		return under && (r.AnsweredAt.Before(l.Gone) || lost)
	})
}

// lossResends says whether a voucher is sent again because a loss took the record of the first
// time.
func (x index) lossResends(first, second sandbox.Request) bool {
	return slices.ContainsFunc(x.Losses, func(l Loss) bool {
		from := l.From
		if from.IsZero() { // what the blob store has deleted is not sent again
			from = l.Gone
		}
		return first.At.Before(l.Gone.Add(delayed)) && first.AnsweredAt.After(from.Add(-settles)) && second.At.After(l.Gone)
	})
}

// lossReorders says whether a voucher may come after a later one of its order: one that was enqueued
// after a loss and before the rebuilding could not know of those before it, whose producers may have
// had their answer after the loss.
func (x index) lossReorders(earlier, later Enqueued) bool {
	return slices.ContainsFunc(x.Losses, func(l Loss) bool {
		return earlier.At.Before(l.Gone.Add(delayed)) && later.At.After(l.Gone) && later.Asked.Before(l.Back)
	})
}
