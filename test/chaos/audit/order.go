package audit

import (
	"slices"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// seat is where a voucher stands among those of its order.
type seat struct {
	line  string // account and order
	place int
}

func (b books) seats() map[string]seat {
	all := map[string]seat{}
	for _, h := range b.Handed {
		all[h.UploadID] = seat{h.Account + " " + h.OrderID, h.Place}
	}
	return all
}

// order looks for vouchers that were sent before an earlier one of their order was finished. What was rejected and sent
// again stands at the end of its line.
func (b books) order() Check {
	c := Check{Name: "vouchers of one order are sent in the order in which they were enqueued"}
	seats, last := b.seats(), map[string]seat{}
	for _, r := range b.Requests {
		t, ok := b.tries[r.Nonce]
		s, known := seats[t.upload.ID]
		if !ok || !known || !b.RetriedFrom.IsZero() && r.At.After(b.RetriedFrom) {
			continue
		}
		before, follows := last[s.line]
		if follows {
			c.ScanResult++
		}
		if follows && before.place > s.place {
			c.breach("request %d at %s sends voucher %d of order %s after voucher %d", r.Number, clock(r.At), s.place+1, t.upload.OrderID, before.place+1)
		}
		last[s.line] = s
	}
	return c
}

// oneAtATime looks for requests of one order that were under way together.
func (b books) oneAtATime() Check {
	c := Check{Name: "never two requests of one order at a time"}
	seats, last := b.seats(), map[string]sandbox.Request{}
	for _, r := range b.Requests {
		t, ok := b.tries[r.Nonce]
		s, known := seats[t.upload.ID]
		if !ok || !known {
			continue
		}
		if before, follows := last[s.line]; follows {
			c.ScanResult++
			if end := b.end(before); end.After(r.At) {
				c.breach("order %s: request %d came at %s, request %d ended at %s",
					t.upload.OrderID, r.Number, clock(r.At), before.Number, clock(end))
			}
		}
		last[s.line] = r
	}
	return c
}

// end is when a request was over. When a caller has hung up the API may notice late; then the ledger knows better.
func (b books) end(r sandbox.Request) time.Time {
	t := b.tries[r.Nonce]
	if r.HTTPStatus == 0 && !t.EndedAt.IsZero() && t.EndedAt.Before(r.AnsweredAt) {
		return t.EndedAt.Time
	}
	return r.AnsweredAt
}

// throttleGrace is how long it may take until all workers know.
const throttleGrace = 100 * time.Millisecond

// throttled looks for calls that an account made although the API had told it to wait. A call that was let go before the
// answer was written down counts as one that had left.
func (b books) throttled() (c Check, late int) {
	c = Check{Name: "no call is let go while the API has told its account to wait"}
	for i, r := range b.Requests {
		t := b.tries[r.Nonce]
		if r.Fault != sandbox.Throttle || t.Outcome != "throttled" || b.redisAway(r.At, r.AnsweredAt.Add(b.ThrottleFor)) {
			continue
		}
		c.ScanResult++
		told := false
		for _, q := range b.Requests[i+1:] {
			if q.At.After(r.AnsweredAt.Add(b.ThrottleFor)) {
				break
			}
			next := b.tries[q.Nonce]
			if next.upload.Account != t.upload.Account || q.At.Before(r.AnsweredAt.Add(throttleGrace)) {
				continue
			}
			if !next.StartedAt.After(t.EndedAt.Time) {
				late++
			} else if !told {
				told = true
				c.breach("account %s: request %d came at %s, %v after request %d was told to wait for %v",
					t.upload.Account, q.Number, clock(q.At), q.At.Sub(r.AnsweredAt), r.Number, b.ThrottleFor)
			}
		}
	}
	return c, late
}

func (b books) redisAway(from, to time.Time) bool {
	return slices.ContainsFunc(b.RedisAway, func(s Span) bool { return s.overlaps(from, to) })
}
