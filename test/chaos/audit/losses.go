package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// Loss is a time whose writes Redis has forgotten.
type Loss struct {
	From time.Time // writes from here on are lost; zero: all
	Gone time.Time // from here on nobody sees them
	Back time.Time // from here on all is there again that was not lost for good
}

const (
	replicates = time.Second     // within this a replica has a write, on a busy machine
	settles    = 5 * time.Second // within this a call's voucher has left the blob store
)

// forgets says whether a write at this time may have been lost.
func (l Loss) forgets(at time.Time) bool {
	return at.After(l.From.Add(-replicates)) && at.Before(l.Gone.Add(replicates))
}

// Forgotten counts what went with Redis, and may.
type Forgotten struct {
	Uploads int // that the ledger does not know
	Taken   int // of these, by the API
	Calls   int // that the ledger does not know
}

// RunLosses makes the checks for a Redis that forgets.
func RunLosses(f Facts) (Result, Forgotten) {
	x := newIndex(f)
	arrived, lost := x.arrived()
	known, calls := x.known()
	lost.Calls = calls
	twice, resent := x.twice()
	return Result{Checks: []Check{arrived, known, twice, x.inOrder()}, Resent: resent}, lost
}

// arrived looks for accepted vouchers that did not arrive. What was accepted just before a loss may
// be lost with the blob store in Redis; what a file store held must be there, unless it was
// delivered and so had left.
func (x index) arrived() (c Check, lost Forgotten) {
	c = Check{Name: "every voucher that Enqueue accepted, and Redis did not lose, is delivered", Examined: len(x.Enqueued)}
	for _, h := range x.Enqueued {
		u, known := x.Uploads[h.UploadID]
		taken := x.accepted[h.OrderID+" "+h.SHA256] > 0
		forgotten := x.InRedis && slices.ContainsFunc(x.Losses, func(l Loss) bool { return l.forgets(h.At) })
		switch {
		case known && u.State == ledger.Delivered && taken:
		case known:
			c.breach("%s (order %s) is %s: %s %s; the API took it: %v", h.UploadID, h.OrderID, u.State, u.Outcome, u.Msg, taken)
		case forgotten || taken && !x.InRedis:
			lost.Uploads++
			if taken {
				lost.Taken++
			}
		default:
			c.breach("%s (order %s, accepted at %s) is not in the ledger; the API took it: %v", h.UploadID, h.OrderID, clock(h.At), taken)
		}
	}
	return c, lost
}

// known looks for requests that the ledger does not know and Redis did not lose. An answer that
// came after the loss is written to the Redis that is there then, unless that has lost the upload
// too.
func (x index) known() (c Check, lost int) {
	c = Check{Name: "every request at the API is recorded, or was lost with Redis", Examined: len(x.Requests)}
	enqueued := map[string]Enqueued{}
	for _, h := range x.Enqueued {
		enqueued[h.OrderID+" "+h.SHA256] = h
	}
	for _, r := range x.Requests {
		h := enqueued[r.OrderID+" "+r.SHA256]
		_, tried := x.tries[r.Nonce]
		if tried || slices.Contains(x.Found[r.RequestID], h.UploadID) {
			continue
		}
		if slices.ContainsFunc(x.Losses, func(l Loss) bool {
			under := l.forgets(r.At) || l.forgets(r.AnsweredAt)
			return under && (r.AnsweredAt.Before(l.Gone) || l.forgets(h.At))
		}) {
			lost++
			continue
		}
		c.breach("request %d (order %s, %s to %s, request id %s)", r.Number, r.OrderID, clock(r.At), clock(r.AnsweredAt), r.RequestID)
	}
	return c, lost
}

// twice looks for vouchers that were sent again although they had arrived well before a loss.
func (x index) twice() (Check, []Resent) {
	taken := map[string][]sandbox.Request{}
	for _, r := range x.Requests {
		if r.Accepted {
			taken[r.OrderID+" "+r.SHA256] = append(taken[r.OrderID+" "+r.SHA256], r)
		}
	}
	c := Check{Name: "only what was sent just before a loss is sent twice", Examined: len(taken)}
	var all []Resent
	for _, h := range x.Enqueued {
		rs := taken[h.OrderID+" "+h.SHA256]
		for i := range max(0, len(rs)-1) {
			all = append(all, Resent{UploadID: h.UploadID, OrderID: h.OrderID, Attempts: []string{
				fmt.Sprintf("taken at %s and at %s", clock(rs[i].At), clock(rs[i+1].At)),
			}})
			if !slices.ContainsFunc(x.Losses, func(l Loss) bool { return l.excuses(rs[i], rs[i+1]) }) {
				c.breach("%s (order %s): requests %d and %d", h.UploadID, h.OrderID, rs[i].Number, rs[i+1].Number)
			}
		}
	}
	return c, all
}

// excuses says whether a voucher is sent again because this loss took the record of the first time.
func (l Loss) excuses(first, second sandbox.Request) bool {
	from := l.From
	if from.IsZero() { // what the blob store has deleted is not sent again
		from = l.Gone
	}
	return first.At.Before(l.Gone.Add(replicates)) && first.AnsweredAt.After(from.Add(-settles)) && second.At.After(l.Gone)
}

// inOrder looks for vouchers that arrived before an earlier one of their order. What was enqueued
// after a loss and before the rebuilding could not know of those before it, whose producers may
// have had their answer after the loss.
func (x index) inOrder() Check {
	c := Check{Name: "vouchers of one order arrive in the order in which they were enqueued"}
	type arrival struct {
		Enqueued

		number int
	}
	arrivals := map[string]int{} // number of the first request, by order and hash
	for _, r := range slices.Backward(x.Requests) {
		if r.Accepted && (x.RetriedFrom.IsZero() || r.At.Before(x.RetriedFrom)) {
			arrivals[r.OrderID+" "+r.SHA256] = r.Number
		}
	}
	first := map[position]arrival{}
	for _, h := range x.Enqueued {
		if n, ok := arrivals[h.OrderID+" "+h.SHA256]; ok {
			first[position{h.Account + " " + h.OrderID, h.Place}] = arrival{h, n}
		}
	}
	for s, later := range first {
		before, ok := first[position{s.queue, s.place - 1}]
		if !ok || slices.ContainsFunc(x.Losses, func(l Loss) bool {
			return before.At.Before(l.Gone.Add(replicates)) && later.At.After(l.Gone) && later.At.Before(l.Back)
		}) {
			continue
		}
		c.Examined++
		if before.number > later.number {
			c.breach("order %s: voucher %d came before voucher %d (enqueued at %s and %s)",
				later.OrderID, s.place+1, s.place, clock(later.At), clock(before.At))
		}
	}
	return c
}
