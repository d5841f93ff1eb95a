package events

import (
	"math/rand/v2"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// queue holds events that were read and have not arrived yet. Those of one line are sent one after
// the other; a line whose event does not arrive waits, and the others go on. A receiver that takes
// nothing at all is asked by one call at a time. It is for one goroutine.
type queue struct {
	set   Settings
	lines map[string]*line
	order []*item // of uploads, as they were read; those that arrived leave from its front

	running  int
	failures int       // in a row, of any line
	accepted time.Time // when the receiver last took an event
	downTill time.Time // not zero: the receiver is down, and is asked again then
}

// line is what stays in order.
type line struct {
	items []*item
	busy  bool
	next  time.Time
}

// item is an event that is to be sent.
type item struct {
	event Event
	tries int
	first time.Time // when it first did not arrive
	last  time.Time // … and last
	done  bool
}

// downAfter failures in a row a receiver counts as down.
const downAfter = 5

func newQueue(set Settings) *queue { return &queue{set: set, lines: map[string]*line{}} }

// add takes in an event.
func (q *queue) add(e Event) {
	it := &item{event: e}
	if e.Data.Upload != nil {
		q.order = append(q.order, it)
	}
	l := q.lines[e.line()]
	if l == nil {
		l = &line{}
		q.lines[e.line()] = l
	}
	l.items = append(l.items, it)
}

// oldest is when the oldest event of an upload happened that has not arrived; zero: there is none.
func (q *queue) oldest() ledger.Time {
	for len(q.order) > 0 && q.order[0].done {
		q.order = q.order[1:]
	}
	if len(q.order) == 0 {
		return ledger.Time{}
	}
	return q.order[0].event.Timestamp
}

const (
	mostRead    = 1000 // events that were read and have not all arrived
	mostWaiting = 200  // lines that could go on
)

// wants says whether more events shall be read.
func (q *queue) wants(now time.Time) bool {
	ready := 0
	for _, l := range q.lines {
		if !l.next.After(now) {
			ready++
		}
	}
	q.oldest()
	return q.downTill.IsZero() && len(q.order) < mostRead && ready < mostWaiting
}

// take gives the lines whose first event shall be sent now, and marks them as busy.
func (q *queue) take(now time.Time) []*line {
	var out []*line
	most := q.set.Parallel
	if !q.downTill.IsZero() {
		if q.downTill.After(now) {
			return nil
		}
		most = 1 // of any line: one event that is refused must not make the receiver seem down
	}
	for _, l := range q.lines {
		if q.running >= most {
			break
		}
		if !l.busy && (!l.next.After(now) || !q.downTill.IsZero()) {
			l.busy = true
			q.running++
			out = append(out, l)
		}
	}
	return out
}

// next is when to look again, at the latest after a poll.
func (q *queue) next(now time.Time) time.Time {
	soonest := now.Add(q.set.Poll)
	for _, l := range q.lines {
		if l.next.After(now) && l.next.Before(soonest) {
			soonest = l.next
		}
	}
	if q.downTill.After(now) && q.downTill.Before(soonest) {
		soonest = q.downTill
	}
	return soonest
}

// arrived takes in that a line's first event arrived.
func (q *queue) arrived(l *line, now time.Time) {
	q.drop(l)
	q.accepted, q.failures = now, 0
	if !q.downTill.IsZero() {
		q.downTill = time.Time{}
		for _, other := range q.lines {
			other.next = time.Time{}
		}
	}
}

// failed takes in that a line's first event did not arrive. It says whether it is given up: not
// while the receiver may be down, which takes no other event either.
func (q *queue) failed(l *line, now time.Time) (givenUp bool) {
	it := l.items[0]
	if it.first.IsZero() {
		it.first = now
	}
	alive := it.tries > 0 && q.accepted.After(it.last)
	it.tries++
	it.last = now
	q.failures++
	if alive && now.Sub(it.first) >= q.set.GiveUp {
		q.drop(l)
		return true
	}
	l.busy = false
	q.running--
	l.next = now.Add(backoff(it.tries, q.set.Backoff, q.set.Longest))
	if q.failures >= downAfter {
		q.downTill = now.Add(backoff(q.failures-downAfter+1, q.set.Backoff, q.set.DownFor))
	}
	return false
}

// drop takes a line's first event out.
func (q *queue) drop(l *line) {
	it := l.items[0]
	it.done, l.busy, l.next = true, false, time.Time{}
	l.items = l.items[1:]
	q.running--
	if len(l.items) == 0 {
		delete(q.lines, it.event.line())
	}
}

// backoff is how long to wait after the n-th failure: base, doubled each time, at most longest,
// ±20 %.
func backoff(n int, base, longest time.Duration) time.Duration {
	d := min(base<<min(n-1, 20), longest)
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
