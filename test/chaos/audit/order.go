package audit

import (
	"slices"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// position is where a voucher stands among those of its order.
type position struct {
	queue string // account and order
	place int
}

func (x index) positions() map[string]position {
	all := map[string]position{}
	for _, h := range x.Enqueued {
		all[h.UploadID] = position{h.Account + " " + h.OrderID, h.Place}
	}
	return all
}

// order looks for vouchers that were sent before an earlier one of their order was finished. What
// was rejected and sent again stands at the end of its order queue.
func (x index) order() Check {
	c := Check{Name: "vouchers of one order are sent in the order in which they were enqueued"}
	positions, last := x.positions(), map[string]position{}
	for _, r := range x.Requests {
		t, ok := x.tries[r.Nonce]
		s, known := positions[t.upload.ID]
		if !ok || !known || !x.RetriedFrom.IsZero() && r.At.After(x.RetriedFrom) {
			continue
		}
		before, follows := last[s.queue]
		if follows {
			c.Examined++
		}
		if follows && before.place > s.place {
			c.breach("request %d at %s sends voucher %d of order %s after voucher %d", r.Number, clock(r.At), s.place+1, t.upload.OrderID, before.place+1)
		}
		last[s.queue] = s
	}
	return c
}

// oneAtATime looks for requests of one order that were under way together.
func (x index) oneAtATime() Check {
	c := Check{Name: "never two requests of one order at a time"}
	positions, last := x.positions(), map[string]sandbox.Request{}
	for _, r := range x.Requests {
		t, ok := x.tries[r.Nonce]
		s, known := positions[t.upload.ID]
		if !ok || !known {
			continue
		}
		if before, follows := last[s.queue]; follows {
			c.Examined++
			if end := x.end(before); end.After(r.At) {
				c.breach("order %s: request %d came at %s, request %d ended at %s",
					t.upload.OrderID, r.Number, clock(r.At), before.Number, clock(end))
			}
		}
		last[s.queue] = r
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

// throttleGrace is how long it may take until all workers know.
const throttleGrace = 100 * time.Millisecond

// throttled looks for calls that an account made although the API had told it to wait. A call that
// left before the answer was written down counts as one that had left.
func (x index) throttled() (c Check, late int) {
	c = Check{Name: "no call leaves while the API has told its account to wait"}
	for i, r := range x.Requests {
		t := x.tries[r.Nonce]
		if r.Fault != sandbox.Throttle || t.Outcome != "throttled" || x.redisAway(r.At, r.AnsweredAt.Add(x.ThrottleFor)) {
			continue
		}
		c.Examined++
		told := false
		for _, q := range x.Requests[i+1:] {
			if q.At.After(r.AnsweredAt.Add(x.ThrottleFor)) {
				break
			}
			next := x.tries[q.Nonce]
			if next.upload.Account != t.upload.Account || q.At.Before(r.AnsweredAt.Add(throttleGrace)) {
				continue
			}
			if !next.StartedAt.After(t.EndedAt.Time) {
				late++
			} else if !told {
				told = true
				c.breach("account %s: request %d came at %s, %v after request %d was told to wait for %v",
					t.upload.Account, q.Number, clock(q.At), q.At.Sub(r.AnsweredAt), r.Number, x.ThrottleFor)
			}
		}
	}
	return c, late
}

func (x index) redisAway(from, to time.Time) bool {
	return slices.ContainsFunc(x.RedisAway, func(s Span) bool { return s.Overlaps(from, to) })
}
