package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// findings are what an audit found: what must hold and does not, and what was looked at.
type findings struct {
	broken   []string
	uploads  map[string]ledger.Upload
	requests int
	outcomes map[ledger.Outcome]int
	states   map[ledger.State]int
	resent   int
	took     time.Duration // of the bubble's clock
}

func (f *findings) breach(check, format string, args ...any) {
	f.broken = append(f.broken, check+": "+fmt.Sprintf(format, args...))
}

// audit holds the ledger against the API's log, and both against the story.
func (w *week) audit(ctx context.Context) (*findings, error) {
	facts, callers, err := w.facts(ctx)
	if err != nil {
		return nil, err
	}
	f := &findings{uploads: facts.Uploads, requests: len(facts.Requests), states: map[ledger.State]int{}}
	w.checkEnds(f, &facts)
	result := audit.Run(facts)
	f.outcomes, f.resent = result.Outcomes, len(result.Resent)
	for _, c := range result.Checks {
		// These two know only the short calls and the one Retry-After of the chaos harness.
		if strings.HasPrefix(c.Name, "attempts are interrupted only") || strings.HasPrefix(c.Name, "no call leaves while") {
			continue
		}
		for _, where := range c.Where {
			f.breach(c.Name, "%s", where)
		}
	}
	w.checkInterrupted(f)
	w.checkCallers(f, callers)
	w.checkBreaker(f)
	w.checkProbes(f, facts.Requests)
	w.checkRefusals(f)
	w.checkStory(f)
	return f, nil
}

// facts gathers what producers, the ledger and the API know.
func (w *week) facts(ctx context.Context) (audit.Facts, map[string]string, error) {
	f := audit.Facts{
		Enqueued: w.enqueued, Uploads: map[string]ledger.Upload{}, Found: map[string][]string{}, Killed: w.killed, Frozen: w.frozen,
		RedisAway: w.aways, InRedis: true,
	}
	var callers map[string]string
	f.Requests, callers = w.api.log()
	ids := map[string]bool{}
	for _, r := range f.Requests {
		ids[r.RequestID] = true
	}
	for _, e := range w.enqueued {
		u, err := w.gateway.tasks.Get(ctx, e.UploadID)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return f, nil, err
		}
		f.Uploads[e.UploadID] = u
		for _, a := range u.Attempts {
			ids[a.RequestID] = true
		}
	}
	delete(ids, "")
	for id := range ids {
		us, err := w.gateway.tasks.Find(ctx, id)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return f, nil, err
		}
		for _, u := range us {
			f.Found[id] = append(f.Found[id], u.ID)
		}
	}
	return f, callers, nil
}

// checkEnds looks for uploads that have not come to their end, or to another than the story has for
// them. Those that the API would not have are not to arrive.
func (w *week) checkEnds(f *findings, facts *audit.Facts) {
	const check = "every upload comes to its end, with the reason"
	unwanted := map[string]bool{}
	for _, i := range w.dead {
		unwanted[orderID(i)] = true
	}
	facts.Enqueued = slices.DeleteFunc(slices.Clone(facts.Enqueued), func(e audit.Enqueued) bool {
		u := facts.Uploads[e.UploadID]
		f.states[u.State]++
		if !unwanted[e.OrderID] {
			return false // it must be delivered
		}
		if u.State != ledger.Rejected || u.Code != strconv.Itoa(refusal) || u.Refusals < 8 {
			f.breach(check, "%s of a closed order is %s after %d refusals, code %q", u.ID, u.State, u.Refusals, u.Code)
		}
		return true
	})
	for i, r := range facts.Requests {
		if unwanted[r.OrderID] { // in an outage it may even be taken, with the answer lost
			facts.Requests[i].Accepted = false
		}
	}
}

// checkInterrupted looks for attempts that count as cut off although their worker lived, reached
// Redis, and had its lease.
func (w *week) checkInterrupted(f *findings) {
	const check = "attempts are interrupted only where a worker died or was cut off"
	for _, u := range f.uploads {
		for _, a := range u.Attempts {
			if a.Outcome != ledger.OutcomeInterrupted {
				continue
			}
			began, ended := w.byRedis(a.StartedAt.Time), w.byRedis(a.EndedAt.Time)
			span := audit.Span{From: began.Add(-recovers), To: ended.Add(recovers)}
			died, ok := w.killed[a.Worker]
			excused := ok && died.Before(span.To) && died.After(began.Add(-time.Second))
			for _, s := range slices.Concat(w.frozen[a.Worker], w.aways, w.stepped) {
				excused = excused || s.Overlaps(span.From, span.To)
			}
			if !excused {
				f.breach(check, "%s attempt %d by %s from %s to %s", u.ID, a.Number, a.Worker, w.when(a.StartedAt.Time), w.when(a.EndedAt.Time))
			}
		}
	}
}

// byRedis is when Redis' clock, by which the ledger tells time, said so: the last time, where it was set
// back since.
func (w *week) byRedis(t time.Time) time.Time {
	for _, c := range slices.Backward(w.clock) {
		if was := t.Add(-c.ahead); !was.Before(c.at) {
			return was
		}
	}
	return t
}

// checkCallers looks for calls that another worker made than the ledger says, and for answers in the
// ledger that the API did not give.
func (w *week) checkCallers(f *findings, callers map[string]string) {
	for _, u := range f.uploads {
		for _, a := range u.Attempts {
			c, called := callers[a.Nonce]
			if called && c != a.Worker {
				f.breach("the ledger knows who made a call", "%s attempt %d is %s's, and %s made the call", u.ID, a.Number, a.Worker, c)
			} else if !called && a.HTTPStatus != 0 {
				f.breach("an answer is a call's", "%s attempt %d has http %d, and the API knows no such call", u.ID, a.Number, a.HTTPStatus)
			}
		}
	}
}

// opens are the reasons for which a spell opens the breaker.
func (k kind) opens() string {
	return map[kind]string{outage: "outage", credentials: "credentials", retirement: "endpoint"}[k]
}

// checkBreaker looks for spells that do not open the breaker, or for another reason.
func (w *week) checkBreaker(f *findings) {
	const check, enough = "a spell opens the breaker", 8 // requests: four slots, and those that knew no better
	for _, s := range w.seen {
		want := s.spell.kind.opens()
		if want == "" || s.requests < enough || w.disturbed(s.at.Add(-30*time.Minute), s.at) {
			continue
		}
		if s.reason.Reason != want {
			f.breach(check, "%s at %s: the breaker is open for %q", s.spell.kind, w.when(s.at), s.reason.Reason)
		}
	}
}

// disturbed says whether Redis was away, or its clock went wrong, at some time between these.
func (w *week) disturbed(from, to time.Time) bool {
	return slices.ContainsFunc(slices.Concat(w.aways, w.stepped), func(s audit.Span) bool { return s.Overlaps(from, to) })
}

// checkProbes looks for calls that were no probes while the breaker was open: after those that opened
// it, and those in which its holds grew, they keep apart. If one upload alone opened it, the first
// other one may ask at once.
func (w *week) checkProbes(f *findings, requests []sandbox.Request) {
	const check, before = "an open breaker sends only probes", 16 // requests
	const settles = 10 * time.Minute                              // after Redis was away, and with it the store, the holds grow anew
	apart := map[kind]time.Duration{outage: outageMax * 4 / 5, credentials: 4 * time.Minute, retirement: 4 * time.Minute}
	for _, p := range w.spells {
		if apart[p.kind] == 0 {
			continue
		}
		during := slices.DeleteFunc(slices.Clone(requests), func(r sandbox.Request) bool {
			return r.At.Before(w.start.Add(p.from)) || !r.At.Before(w.start.Add(p.to))
		})
		orders := map[string]bool{}
		for i, r := range during {
			other := len(orders) == 1 && !orders[r.OrderID]
			orders[r.OrderID] = true
			if i < before || other {
				continue
			}
			last := during[i-1]
			gap := r.At.Sub(last.AnsweredAt)
			if gap < apart[p.kind] && !w.unheard(f, last, r.At) && !w.disturbed(last.At.Add(-settles), r.At) {
				f.breach(check, "%s: request %d at %s came %v after request %d was answered", p.kind, r.Number, w.when(r.At), gap, last.Number)
			}
		}
	}
}

// unheard says whether the ledger did not hear by this time what came of a request, as its worker had
// died or was cut off: then its turn as the probe is another's when its lease ends.
func (w *week) unheard(f *findings, r sandbox.Request, by time.Time) bool {
	for _, u := range f.uploads {
		for _, a := range u.Attempts {
			if a.Nonce == r.Nonce {
				cut := func(s audit.Span) bool { return s.Overlaps(r.AnsweredAt, by) }
				return a.Outcome == ledger.OutcomeInterrupted || slices.ContainsFunc(w.frozen[a.Worker], cut)
			}
		}
	}
	return true
}

// checkRefusals looks for uploads whose budgets paid for what was the account's fault: the first two
// answers, before it is known for that, and no more.
func (w *week) checkRefusals(f *findings) {
	const free = 2
	may, paid := 0, 0
	for _, p := range w.spells {
		if p.kind == credentials || p.kind == retirement || p.kind == clockStep {
			may += free * (1 + len(w.stepped)) // of a step, on either side
		}
	}
	for _, u := range f.uploads {
		if u.State != ledger.Rejected {
			paid += u.Refusals
		}
	}
	if paid > may {
		f.breach("what is the account's fault costs uploads no refusals", "%d refusals, and at most %d were told before it was known", paid, may)
	}
}

// checkStory looks whether what the story is to have has happened.
func (w *week) checkStory(f *findings) {
	if deaths := 10 * int(w.long/day) / 7; len(w.killed) < deaths {
		f.breach("the story has its deaths", "%d, not %d", len(w.killed), deaths)
	}
}

// when writes an instant as a time of the week.
func (w *week) when(t time.Time) string { return stampOf(t.Sub(w.start)) }

// tellUploads writes what became of each upload.
func (w *week) tellUploads(f *findings) []string {
	var lines []string
	for _, e := range w.enqueued {
		u := f.uploads[e.UploadID]
		lines = append(lines, fmt.Sprintf("%s %s voucher %d of %s: %s, %d refusals", w.when(e.At), e.UploadID, e.Place+1, e.OrderID, u.State, u.Refusals))
		for _, a := range u.Attempts {
			lines = append(lines, fmt.Sprintf("    %s to %s attempt %d by %s: %s http %d code %s %s", w.when(a.StartedAt.Time), w.when(a.EndedAt.Time),
				a.Number, a.Worker, a.Outcome, a.HTTPStatus, a.Code, a.Error))
		}
	}
	return lines
}
