package events

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// queue holds events that were read and have not arrived yet. Those of one line are sent one after
// the other; a line whose event does not arrive waits, and the others go on. A receiver that takes
// nothing at all is asked by one call at a time, each time for another line. It is for one goroutine.
type queue struct {
	set   Settings
	lines map[string]*line
	held  int // events of all lines

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
}

// downAfter failures in a row a receiver counts as down.
const downAfter = 5

func newQueue(set Settings) *queue { return &queue{set: set, lines: map[string]*line{}} }

// add takes in an event.
func (q *queue) add(e Event) {
	l := q.lines[e.line()]
	if l == nil {
		l = &line{}
		q.lines[e.line()] = l
	}
	l.items = append(l.items, &item{event: e})
	q.held++
}

// again takes in an event that was refused before, or that waits behind such a one.
func (q *queue) again(e Event, refused ledger.Time) {
	q.add(e)
	if items := q.lines[e.line()].items; !refused.IsZero() {
		it := items[len(items)-1]
		it.tries, it.first, it.last = 1, refused.Time, refused.Time
	}
}

// oldest is when the oldest event of an upload happened that has not arrived, and the oldest that
// neither was refused nor waits behind one that was; zero: there is none.
func (q *queue) oldest() (of, untried ledger.Time) {
	for _, l := range q.lines {
		it := l.items[0]
		if it.event.Data.Upload == nil {
			continue
		}
		of = earlier(of, it.event.Timestamp)
		if it.tries == 0 {
			untried = earlier(untried, it.event.Timestamp)
		}
	}
	return of, untried
}

func earlier(a, b ledger.Time) ledger.Time {
	if a.IsZero() || b.Before(a.Time) {
		return b
	}
	return a
}

// refused gives the events until a time that were refused, or wait behind one that was, oldest
// first.
func (q *queue) refused(until ledger.Time) []refusal {
	var all []refusal
	for _, l := range q.lines {
		if l.items[0].tries == 0 {
			continue
		}
		for _, it := range l.items {
			if u := it.event.Data.Upload; u != nil && !it.event.Timestamp.After(until.Time) {
				all = append(all, refusal{Upload: u.ID, Ended: it.event.Timestamp, First: ledger.Time{Time: it.first}})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b refusal) int { return a.Ended.Compare(b.Ended.Time) })
	return all
}

func (q *queue) down() bool { return !q.downTill.IsZero() }

const (
	mostRead    = 1000 // events that were read and have not arrived
	mostWaiting = 200  // lines that could go on
)

// wants says whether more events shall be read. While the receiver is down, one that it was not yet
// asked to take is enough: it tells a receiver that is down from one that refuses some events.
func (q *queue) wants(now time.Time) bool {
	most, waiting := mostWaiting, 0
	if q.down() {
		most = 1
	}
	for _, l := range q.lines {
		if q.down() && l.items[0].tries == 0 || !q.down() && !l.next.After(now) {
			waiting++
		}
	}
	return q.held < mostRead && waiting < most
}

// take gives the lines whose first event shall be sent now, and marks them as busy. Those come first
// that were not tried for the longest, so that events that are refused take no other's turn.
func (q *queue) take(now time.Time) []*line {
	if q.downTill.After(now) {
		return nil
	}
	most := q.set.Parallel
	if q.down() {
		most = 1
	}
	if q.running >= most {
		return nil
	}
	var out []*line
	for _, l := range q.lines {
		if !l.busy && (q.down() || !l.next.After(now)) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *line) int {
		return cmp.Or(a.items[0].last.Compare(b.items[0].last), a.items[0].event.Timestamp.Compare(b.items[0].event.Timestamp.Time))
	})
	out = out[:min(len(out), most-q.running)]
	for _, l := range out {
		l.busy = true
	}
	q.running += len(out)
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
	if q.down() {
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
	l.busy, l.next = false, time.Time{}
	l.items = l.items[1:]
	q.held--
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
