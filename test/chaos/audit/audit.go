// Package audit holds the ledger against the log of the API, an independent witness, and says what
// does not agree.
package audit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// Facts are all that is known at the end of a run.
type Facts struct {
	Enqueued []Enqueued               // what Enqueue accepted
	Uploads  map[string]ledger.Upload // by id, with their attempts
	Requests []sandbox.Request        // the API's log
	Found    map[string][]string      // by request id: the uploads that a search for it gave

	Killed      map[string]time.Time // workers that were killed, by their names in the ledger
	RedisAway   []Span               // when Redis was killed or paused
	RetriedFrom time.Time            // from when rejected uploads were sent again, at the end of their order queue
	ThrottleFor time.Duration        // what the API asks for when it throttles
	Losses      []Loss               // when Redis forgot, for RunLosses
	InRedis     bool                 // vouchers lie in Redis, and are lost with it
}

// Enqueued is a voucher that Enqueue accepted.
type Enqueued struct {
	UploadID, Account, OrderID, SHA256 string

	Place int       // among the vouchers of its order
	At    time.Time // when the producer was told
}

// Span is a time from one instant to another.
type Span struct{ From, To time.Time }

// Overlaps says whether a span shares time with another.
func (s Span) Overlaps(from, to time.Time) bool { return s.From.Before(to) && from.Before(s.To) }

// Check is one thing that must hold, and where it does not.
type Check struct {
	Name     string
	Examined int // at so many things
	Broken   int
	Where    []string // the first of them
}

// shown is how many breaches are told of each kind.
const shown = 20

func (c *Check) breach(format string, args ...any) {
	c.Broken++
	if len(c.Where) < shown {
		c.Where = append(c.Where, fmt.Sprintf(format, args...))
	}
}

// Resent is an upload that the API took more than once, and what the ledger says of each time.
type Resent struct {
	UploadID string
	OrderID  string
	Attempts []string
}

// Result is what an audit found.
type Result struct {
	Checks   []Check
	Resent   []Resent
	Attempts map[int]int // number of uploads by their attempts
	Outcomes map[ledger.Outcome]int
	Late     int             // calls that had left when their account was told to wait, and arrived a tenth of a second later or more
	Resumed  []time.Duration // after which uploads went on whose attempt was interrupted, shortest first
}

// index is the facts, made searchable.
type index struct {
	Facts

	tries    map[string]try // by nonce
	accepted map[string]int // by order and hash: how often the API took it
}

// try is an attempt and its upload.
type try struct {
	ledger.Attempt

	upload ledger.Upload
}

func newIndex(f Facts) index {
	f.Requests = slices.Clone(f.Requests)
	slices.SortFunc(f.Requests, func(a, b sandbox.Request) int { return a.Number - b.Number })
	x := index{Facts: f, tries: map[string]try{}, accepted: map[string]int{}}
	for _, u := range f.Uploads {
		for _, a := range u.Attempts {
			x.tries[a.Nonce] = try{a, u}
		}
	}
	for _, r := range f.Requests {
		if r.Accepted {
			x.accepted[r.OrderID+" "+r.SHA256]++
		}
	}
	return x
}

// Run makes all checks of a run in which Redis forgets nothing.
func Run(f Facts) Result {
	x := newIndex(f)
	r := Result{Attempts: map[int]int{}, Outcomes: map[ledger.Outcome]int{}}
	for _, u := range x.Uploads {
		r.Attempts[u.AttemptCount]++
		for i, a := range u.Attempts {
			r.Outcomes[a.Outcome]++
			if a.Outcome == ledger.OutcomeInterrupted && i+1 < len(u.Attempts) {
				r.Resumed = append(r.Resumed, u.Attempts[i+1].StartedAt.Sub(a.StartedAt.Time))
			}
		}
	}
	slices.Sort(r.Resumed)
	var resent Check
	resent, r.Resent = x.resent()
	r.Checks = []Check{
		x.lost(), x.unknown(), x.written(), x.outcomes(), x.answers(), x.searchable(), resent,
		x.interrupted(), x.order(), x.oneAtATime(),
	}
	throttled, late := x.throttled()
	r.Checks, r.Late = append(r.Checks, throttled), late
	return r
}

// lost looks for accepted vouchers that did not arrive.
func (x index) lost() Check {
	c := Check{Name: "every voucher that Enqueue accepted is delivered", Examined: len(x.Enqueued)}
	for _, h := range x.Enqueued {
		u, ok := x.Uploads[h.UploadID]
		switch {
		case !ok:
			c.breach("%s (order %s) is not in the ledger", h.UploadID, h.OrderID)
		case u.State != ledger.Delivered:
			c.breach("%s (order %s) is %s: %s %s", h.UploadID, h.OrderID, u.State, u.Outcome, u.Msg)
		case x.accepted[h.OrderID+" "+h.SHA256] == 0:
			c.breach("%s (order %s) counts as delivered, but the API never took it", h.UploadID, h.OrderID)
		}
	}
	return c
}

// unknown looks for vouchers that the API took and nobody enqueued.
func (x index) unknown() Check {
	c := Check{Name: "the API took nothing that was not enqueued", Examined: len(x.accepted)}
	rest := maps.Clone(x.accepted)
	for _, h := range x.Enqueued {
		delete(rest, h.OrderID+" "+h.SHA256)
	}
	for what := range rest {
		c.breach("order and voucher %s", what)
	}
	return c
}

// written looks for requests that left without their attempt.
func (x index) written() Check {
	c := Check{Name: "every request at the API is recorded as one attempt", Examined: len(x.Requests)}
	seen := map[string]int{}
	for _, r := range x.Requests {
		t, ok := x.tries[r.Nonce]
		switch {
		case !ok:
			c.breach("request %d (order %s, at %s, fault %q): nonce %s is no attempt's", r.Number, r.OrderID, clock(r.At), r.Fault, r.Nonce)
		case seen[r.Nonce] > 0:
			c.breach("request %d (order %s) repeats the nonce of request %d", r.Number, r.OrderID, seen[r.Nonce])
		case r.Complete && (t.upload.OrderID != r.OrderID || t.upload.SHA256 != r.SHA256):
			c.breach("request %d carries order %s and voucher %.8s, its attempt is of order %s and voucher %.8s",
				r.Number, r.OrderID, r.SHA256, t.upload.OrderID, t.upload.SHA256)
		}
		seen[r.Nonce] = r.Number
	}
	for id, u := range x.Uploads {
		if u.AttemptCount <= ledger.KeptAttempts && len(u.Attempts) != u.AttemptCount {
			c.breach("%s counts %d attempts and lists %d", id, u.AttemptCount, len(u.Attempts))
		}
	}
	return c
}

// clock writes an instant for comparing with logs.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
