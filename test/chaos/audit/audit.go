// Package audit holds the ledger against the log of the API, an independent witness, and says what
// does not agree.
package audit

import (
	"fmt"
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
	Frozen      map[string][]Span    // when workers were stopped and let go on, by their names
	RedisAway   []Span               // when Redis was killed or paused
	RetriedFrom time.Time            // from when rejected uploads were sent again, at the end of their order queue
	ThrottleFor time.Duration        // what the API asks for when it throttles
	Losses      []Loss               // when Redis forgot; what it did not forget must still hold
	Wire        []Passed             // what the network between workers and API carried, where it is known
	InRedis     bool                 // vouchers lie in Redis, and are lost with it
}

// Enqueued is a voucher that Enqueue accepted.
type Enqueued struct {
	UploadID, Account, OrderID, SHA256 string

	Place     int       // among the vouchers of its order
	Asked, At time.Time // when the producer asked, and when it was told
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

func (c *Check) breach(format string, args ...any) {
	const shown = 20
	c.Broken++
	if len(c.Where) < shown {
		c.Where = append(c.Where, fmt.Sprintf(format, args...))
	}
}

// Resent is an upload that the API took more than once, and what the ledger says of each time.
type Resent struct {
	UploadID string
	Attempts []string
}

// Result is what an audit found.
type Result struct {
	Checks    []Check
	Resent    []Resent
	Forgotten Forgotten
	Attempts  map[int]int // number of uploads by their attempts
	Outcomes  map[ledger.Outcome]int
	Late      int             // calls that had left when their account was told to wait, and arrived a tenth of a second later or more
	Resumed   []time.Duration // after which uploads went on whose attempt was interrupted, shortest first
}

// index is the facts, made searchable.
type index struct {
	Facts

	tries    map[string]try               // by nonce
	taken    map[string][]sandbox.Request // by order and hash: those that the API accepted
	byID     map[string]Enqueued
	enqueued map[string]Enqueued // by order and hash
	passed   map[string]Passed   // by nonce
}

// try is an attempt and its upload.
type try struct {
	ledger.Attempt

	upload ledger.Upload
}

// voucher tells vouchers apart where the ledger may have forgotten their ids.
func voucher(order, hash string) string { return order + " " + hash }

func newIndex(f Facts) index {
	f.Requests = slices.Clone(f.Requests)
	slices.SortFunc(f.Requests, func(a, b sandbox.Request) int { return a.Number - b.Number })
	x := index{
		Facts: f, tries: map[string]try{}, taken: map[string][]sandbox.Request{}, byID: map[string]Enqueued{}, enqueued: map[string]Enqueued{},
		passed: map[string]Passed{},
	}
	for _, u := range f.Uploads {
		for _, a := range u.Attempts {
			x.tries[a.Nonce] = try{a, u}
		}
	}
	for _, r := range f.Requests {
		if v := voucher(r.OrderID, r.SHA256); r.Accepted {
			x.taken[v] = append(x.taken[v], r)
		}
	}
	for _, h := range f.Enqueued {
		x.byID[h.UploadID], x.enqueued[voucher(h.OrderID, h.SHA256)] = h, h
	}
	for _, p := range x.Wire {
		x.passed[p.Nonce] = p
	}
	return x
}

// Run makes all checks; of a run in which Redis forgot, those that hold all the same.
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
	r.Checks = []Check{x.lost(&r.Forgotten), x.written(&r.Forgotten), x.resent(&r), x.order()}
	if len(f.Losses) == 0 {
		r.Checks = append(r.Checks, x.unknown(), x.outcomes(), x.answers(), x.searchable(), x.interrupted(), x.oneAtATime(), x.throttled(&r))
	}
	if len(f.Losses) == 0 && len(f.Wire) > 0 {
		r.Checks = append(r.Checks, x.wire()...)
	}
	return r
}

// enqueuedBy gives the voucher that a request is about.
func (x index) enqueuedBy(r sandbox.Request) (Enqueued, bool) {
	if t, ok := x.tries[r.Nonce]; ok {
		h, ok := x.byID[t.upload.ID]
		return h, ok
	}
	h, ok := x.enqueued[voucher(r.OrderID, r.SHA256)]
	return h, ok
}

// frozen says whether a worker was stopped at some time between these: then others may have taken
// its uploads over, and it goes on with them unaware.
func (x index) frozen(worker string, from, to time.Time) bool {
	return slices.ContainsFunc(x.Frozen[worker], func(s Span) bool { return s.Overlaps(from, to) })
}

func (x index) redisAway(from, to time.Time) bool {
	return slices.ContainsFunc(x.RedisAway, func(s Span) bool { return s.Overlaps(from, to) })
}

// clock writes an instant for comparing with logs.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
