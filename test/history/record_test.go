package history_test

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/voucherd/voucherd/ledger"
)

// kind is what a client calls.
type kind string

const (
	open     kind = "Open"
	begin    kind = "Begin"
	finish   kind = "Finish"
	release  kind = "Release"
	retry    kind = "Retry"
	discard  kind = "Discard"
	beat     kind = "Beat"
	recovery kind = "Recover"
	sweep    kind = "Sweep"
	read     kind = "Get"
	audit    kind = "Get with attempts"
)

// call is one call of a client. Uploads, attempts, workers and calls are named by small numbers.
type call struct {
	kind           kind
	name           int // of the call: what Redis gets twice, when a reply was lost, has the same
	upload         int
	again, replace bool
	attempt        int
	generation     int64
	lease          int64 // ms
	worker         int   // whose attempt it is, or who beats or is taken for dead
	result         int   // of results
	from           int64 // wall clock when it was made, ms
}

// answer is what a client learned.
type answer struct {
	unknown         bool  // the connection was cut
	back            int64 // wall clock when it came, ms; 0 of what is unknown: it may have happened or not, now or later
	startedAt       int64 // of an attempt, by Redis' clock, ms
	what            string
	upload          int // the next of the order queue, or what was repaired
	generation      int64
	number          int
	state           ledger.State
	drop            int
	replaces        int64
	interruptedLast bool
}

// without gives what two answers to the same call must share.
func (a answer) without() answer {
	a.back, a.startedAt = 0, 0
	return a
}

// record is a call as it happened. Times are in ns from the beginning of its history.
type record struct {
	client      int
	in          call
	out         answer
	began, done int64
}

// history is what happened on one order.
type history []record

// operations is the history as porcupine takes it.
func (h history) operations() (all []porcupine.Operation) {
	for _, r := range h {
		all = append(all, porcupine.Operation{ClientId: r.client, Input: r.in, Call: r.began, Output: r.out, Return: r.done})
	}
	return all
}

// never is when a call is done whose reply was lost.
const never = math.MaxInt64

// until gives what had happened by some time: what had begun and was not done has no answer yet.
func (h history) until(end int64) (short history) {
	for _, r := range h {
		if r.began > end {
			continue
		}
		if r.done > end {
			r.done, r.out = never, answer{unknown: true}
		}
		short = append(short, r)
	}
	return short
}

// idle says whether a call changed nothing that others may have seen, wherever it stands.
func (h history) idle(r record) bool {
	switch r.in.kind {
	case beat:
		return !slices.ContainsFunc(h, func(o record) bool { return o.in.kind == recovery && o.in.worker == r.in.worker })
	case read, audit:
		return true
	case begin:
		return !r.out.unknown && r.out.what != "started"
	case sweep:
		return r.out.what == ""
	case retry, discard:
		return !r.out.unknown && strings.HasPrefix(r.out.what, "refused")
	case open, finish, release, recovery:
	}
	return false
}

// describe gives an upload as a look at it shows it.
func (s *state) describe(i int, attempts bool) string {
	u := s.uploads[i]
	if u.state == "" {
		return "unknown"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, generation %d, %d attempts, %d refusals", u.state, u.generation, u.count, u.refusals)
	for name := range mostAttempts {
		for _, a := range s.attempts[:s.begun] {
			if attempts && a.name == name && a.number > 0 && a.upload == i {
				b.WriteString(describeAttempt(name, a.number, a.outcome))
			}
		}
	}
	return b.String()
}

func describeAttempt(name, number int, outcome ledger.Outcome) string {
	return fmt.Sprintf("; a%d is attempt %d %s", name, number, outcome)
}
