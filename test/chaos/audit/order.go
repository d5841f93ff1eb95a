package audit

import (
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// order looks for vouchers that were sent after a later one of their order. What was rejected and
// sent again stands at the end of its order queue. Where Redis forgot, only when a voucher first
// arrived counts.
func (x index) order() Check {
	c := Check{Name: "vouchers of one order are sent in the order in which they were enqueued"}
	last := map[string]Enqueued{}
	for _, r := range x.Requests {
		h, known := x.enqueuedBy(r)
		again := len(x.Losses) > 0 && (!r.Accepted || x.taken[voucher(r.OrderID, r.SHA256)][0].Number != r.Number)
		if !known || again || !x.RetriedFrom.IsZero() && r.At.After(x.RetriedFrom) {
			continue
		}
		queue, t := h.Account+" "+h.OrderID, x.tries[r.Nonce]
		before, follows := last[queue]
		if follows {
			c.Examined++
		}
		if follows && before.Place > h.Place && !x.lossReorders(h, before) && !x.frozen(t.Worker, t.StartedAt.Time, r.At) {
			c.breach("request %d at %s sends voucher %d of order %s after voucher %d (enqueued at %s and %s)",
				r.Number, clock(r.At), h.Place+1, h.OrderID, before.Place+1, clock(h.At), clock(before.At))
		}
		last[queue] = h
	}
	return c
}

// oneAtATime looks for requests of one order that were under way together.
func (x index) oneAtATime() Check {
	c := Check{Name: "never two requests of one order at a time"}
	last := map[string]sandbox.Request{}
	for _, r := range x.Requests {
		h, known := x.enqueuedBy(r)
		if !known {
			continue
		}
		queue := h.Account + " " + h.OrderID
		if before, follows := last[queue]; follows {
			c.Examined++
			first, second := x.tries[before.Nonce], x.tries[r.Nonce]
			unaware := x.frozen(first.Worker, first.StartedAt.Time, r.At) || x.frozen(second.Worker, second.StartedAt.Time, r.At)
			if end := x.end(before); end.After(r.At) && !unaware {
				c.breach("order %s: request %d came at %s, request %d ended at %s", h.OrderID, r.Number, clock(r.At), before.Number, clock(end))
			}
		}
		last[queue] = r
	}
	return c
}

// end is when a request was over. When a caller has hung up the API may notice late; then the
// ledger knows better.
func (x index) end(r sandbox.Request) time.Time {
	t := x.tries[r.Nonce]
	if r.HTTPStatus == 0 && !t.EndedAt.IsZero() && t.EndedAt.Before(r.AnsweredAt) {
		return t.EndedAt.Time
	}
	return r.AnsweredAt
}

const grace = 100 * time.Millisecond // until what was learned is written down

// throttled looks for calls that an account made although the API had told it to wait. A call that
// left before the answer was written down counts as one that had left.
func (x index) throttled(out *Result) Check {
	c := Check{Name: "no call leaves while the API has told its account to wait"}
	for i, r := range x.Requests {
		t := x.tries[r.Nonce]
		if r.Fault != sandbox.Throttle || t.Outcome != ledger.OutcomeThrottled || x.redisAway(r.At, r.AnsweredAt.Add(x.ThrottleFor)) {
			continue
		}
		c.Examined++
		told := false
		for _, q := range x.Requests[i+1:] {
			if q.At.After(r.AnsweredAt.Add(x.ThrottleFor)) {
				break
			}
			next := x.tries[q.Nonce]
			if next.upload.Account != t.upload.Account || q.At.Before(r.AnsweredAt.Add(grace)) {
				continue
			}
			if !next.StartedAt.After(t.EndedAt.Time) {
				out.Late++
			} else if !told {
				told = true
				c.breach("account %s: request %d came at %s, %v after request %d was told to wait for %v",
					t.upload.Account, q.Number, clock(q.At), q.At.Sub(r.AnsweredAt), r.Number, x.ThrottleFor)
			}
		}
	}
	return c
}
