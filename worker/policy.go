package worker

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
)

// Policy decides what an attempt came to and what follows. The zero value of a field stands for its
// default. Retry is the default for what is unknown: PandaPon documents no code but 200.
type Policy struct {
	Short         []time.Duration // delays after attempts without an answer; the last one repeats
	Long          []time.Duration // delays after refusals
	RefusalBudget int             // refusals until an upload is rejected; 8
	MaxAge        time.Duration   // after which a failing upload expires; 7 days

	CodesFinal       []string // codes that reject an upload at once
	CodesThrottled   []string // codes that hold the account as HTTP 429 does
	CodesCredentials []string // codes that speak of the account, as HTTP 401 and 403 do

	RetryAfterMin time.Duration // a Retry-After is kept within these; 1 s …
	RetryAfterMax time.Duration // … 1 h

	Jitter float64 // by which delays are spread to either side; 0.2. Below 0: none
}

// DefaultShort is the schedule for what never reached the API, or came back without a readable
// answer.
func DefaultShort() []time.Duration {
	return []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
}

// DefaultLong is the schedule for refusals.
func DefaultLong() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour,
	}
}

// WithDefaults fills in what is not set.
func (p Policy) WithDefaults() Policy {
	if len(p.Short) == 0 {
		p.Short = DefaultShort()
	}
	if len(p.Long) == 0 {
		p.Long = DefaultLong()
	}
	p.RefusalBudget = cmp.Or(p.RefusalBudget, 8)
	p.MaxAge = cmp.Or(p.MaxAge, 7*24*time.Hour)
	p.RetryAfterMin = cmp.Or(p.RetryAfterMin, time.Second)
	p.RetryAfterMax = cmp.Or(p.RetryAfterMax, time.Hour)
	p.Jitter = cmp.Or(p.Jitter, 0.2)
	return p
}

// Tried is what an upload was before the attempt, as far as the decision needs it.
type Tried struct {
	Age        time.Duration // since its creation or last retry
	Refusals   int           // spent of the budget
	Unanswered int           // attempts without an answer since the last one that had one
}

// Decide makes an outcome of what the API client, or the blob store, said. Its plan holds if the
// answer is the upload's own; whether it is, the ledger knows.
func (p Policy) Decide(receipt pandapon.Receipt, err error, t Tried) ledger.AttemptResult {
	o := p.classify(receipt, err)
	switch o.Outcome {
	case ledger.OutcomeDelivered:
		o.Next = ledger.Delivered
	case ledger.OutcomeInvalid:
		o.Next = ledger.Rejected
	case ledger.OutcomeRefused:
		o.Next, o.Delay = ledger.Waiting, p.spread(step(p.Long, t.Refusals))
		if o.Fault == ledger.FaultFinal || t.Refusals+1 >= p.RefusalBudget {
			o.Next, o.Delay = ledger.Rejected, 0
		}
	case ledger.OutcomeThrottled:
		o.Next = ledger.Waiting
	case ledger.OutcomeUnavailable, ledger.OutcomeUnclear, ledger.OutcomeInterrupted:
		o.Next, o.Delay = ledger.Waiting, p.spread(step(p.Short, t.Unanswered))
	}
	if o.Next == ledger.Waiting && t.Age > p.MaxAge {
		o.Next, o.Delay = ledger.Expired, 0
	}
	return o
}

// classify gives the outcome, and what the answer may say about the account.
func (p Policy) classify(receipt pandapon.Receipt, err error) ledger.AttemptResult {
	if err == nil {
		return ledger.AttemptResult{
			Outcome: ledger.OutcomeDelivered, HTTPStatus: receipt.HTTPStatus, Code: receipt.Code,
			RequestID: receipt.RequestID, DevelopID: receipt.DevelopID, Msg: receipt.Msg,
		}
	}
	o := ledger.AttemptResult{Error: err.Error()}
	if errors.Is(err, blob.ErrMissing) || errors.Is(err, blob.ErrDamaged) {
		o.Outcome = ledger.OutcomeInvalid
		return o
	}
	e, ok := errors.AsType[*pandapon.Error](err)
	if !ok {
		// What is not known to have stayed here may have arrived.
		o.Outcome = ledger.OutcomeUnclear
		return o
	}
	o.HTTPStatus, o.Code, o.Msg = e.HTTPStatus, e.Envelope.Code, e.Envelope.Msg
	o.RequestID, o.DevelopID = e.Envelope.RequestID, e.Envelope.DevelopID
	o.Outcome, o.Fault = p.outcome(e)
	if e.Kind == pandapon.Answered {
		o.Error = "" // its text would only repeat status, code and msg
	}
	throttledOrAway := o.Outcome == ledger.OutcomeThrottled || e.HTTPStatus == 503
	if throttledOrAway && e.HasRetryAfter {
		o.Hold = min(max(e.RetryAfter, p.RetryAfterMin), p.RetryAfterMax)
	}
	return o
}

// outcome is the table of docs/reference.md: the first row that fits counts.
func (p Policy) outcome(e *pandapon.Error) (ledger.Outcome, ledger.Fault) {
	status, code := e.HTTPStatus, e.Envelope.Code
	switch {
	case e.Kind == pandapon.NotSent:
		return ledger.OutcomeUnavailable, ledger.FaultNone
	case status == 429 || slices.Contains(p.CodesThrottled, code):
		return ledger.OutcomeThrottled, ledger.FaultNone
	case e.Kind == pandapon.NoAnswer:
		return ledger.OutcomeUnclear, ledger.FaultNone
	case success(status) && slices.Contains(p.CodesFinal, code):
		return ledger.OutcomeRefused, ledger.FaultFinal
	case status == 401 || status == 403 || slices.Contains(p.CodesCredentials, code):
		return ledger.OutcomeRefused, ledger.FaultCredentials
	case status == 404 || status == 405 || status == 410 || status == 501:
		return ledger.OutcomeRefused, ledger.FaultEndpoint
	case success(status), status >= 400 && status < 500 && status != 408 && status != 425:
		return ledger.OutcomeRefused, ledger.FaultRefusing
	case status == 502 || status == 504 || status < 400:
		return ledger.OutcomeUnclear, ledger.FaultNone
	default:
		return ledger.OutcomeUnavailable, ledger.FaultNone
	}
}

func success(status int) bool { return status >= 200 && status < 300 }

// step gives the n-th delay of a schedule, from 0; the last one repeats.
func step(schedule []time.Duration, n int) time.Duration {
	return schedule[min(n, len(schedule)-1)]
}

// spread keeps uploads that failed together from coming back together.
func (p Policy) spread(d time.Duration) time.Duration {
	if p.Jitter <= 0 {
		return d
	}
	return time.Duration(float64(d) * (1 - p.Jitter + 2*p.Jitter*rand.Float64()))
}
