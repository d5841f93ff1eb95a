package audit

import (
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// Passed is a request that the network between workers and API carried, at least its head.
type Passed struct {
	Nonce     string
	Whole     bool // all of it arrived
	RequestID string
	Answered  time.Time // when the whole answer was on its way to the worker; zero: never
}

// wire compares what the network carried with the ledger and the API's log.
func (x index) wire() []Check {
	known := Check{Name: "every request that left is recorded as an attempt, even if the network lost it", Examined: len(x.Wire)}
	back := Check{Name: "every answer that came back whole, and in time, is recorded"}
	got := Check{Name: "the API got what the network carried, and nothing else", Examined: len(x.Requests)}
	for _, p := range x.Wire {
		t, ok := x.tries[p.Nonce]
		if !ok {
			known.breach("the network carried nonce %s, which is no attempt's", p.Nonce)
			continue
		}
		if p.Answered.IsZero() {
			continue
		}
		back.Examined++
		inTime := p.Answered.Before(t.EndedAt.Add(-grace)) && !x.frozen(t.Worker, t.StartedAt.Time, t.EndedAt.Time)
		if t.RequestID != p.RequestID && inTime {
			back.breach("%s attempt %d is %s at %s; %s had come back at %s", t.upload.ID, t.Number, t.Outcome, clock(t.EndedAt.Time),
				p.RequestID, clock(p.Answered))
		}
	}
	for _, r := range x.Requests {
		if p, ok := x.passed[r.Nonce]; !ok || r.Complete && !p.Whole {
			got.breach("request %d (order %s): the network carried it: %v, as a whole: %v", r.Number, r.OrderID, ok, p.Whole)
		}
	}
	for nonce, t := range x.tries {
		if p := x.passed[nonce]; t.Outcome == ledger.OutcomeDelivered && p.RequestID != t.RequestID {
			back.breach("%s attempt %d: delivered with %s, and the network brought back %q", t.upload.ID, t.Number, t.RequestID, p.RequestID)
		}
	}
	return []Check{known, back, got}
}
