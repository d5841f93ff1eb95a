package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// maxRequestID bounds what is kept of a request id, in bytes; PandaPon's have 32.
const maxRequestID = 128

// Fault says what an answer that was no success may say about the account.
type Fault string

// The kinds of fault. An answer without one says nothing about the account.
const (
	FaultNone        Fault = ""
	FaultFinal       Fault = "final"       // the upload's own beyond doubt; the account is well
	FaultCredentials Fault = "credentials" // the account's, perhaps
	FaultEndpoint    Fault = "endpoint"    // the endpoint's, perhaps
	FaultRefusing    Fault = "refusing"    // if every upload gets it
)

// AttemptResult is what an attempt came to, and the plan of what follows if the answer is the
// upload's own.
type AttemptResult struct {
	Outcome    Outcome
	HTTPStatus int
	Code       string
	RequestID  string
	DevelopID  string
	Msg        string
	Error      string
	Duration   time.Duration
	TraceID    string // of the trace that the attempt belongs to; "": none is kept

	Fault Fault
	Hold  time.Duration // the API's own word on how long the account shall wait; 0: none
	Next  State         // Delivered, Rejected, Expired or Waiting
	Delay time.Duration // until the next attempt, when Waiting
}

// FinishResult says what Finish made of an outcome.
type FinishResult struct {
	How           string // "recorded", "late" (the attempt counted as interrupted already) or "repeated"
	State         State
	Wait          time.Duration // until the next attempt is due
	BreakerReason string        // why the breaker is open now; "": it is closed
	BreakerWait   time.Duration // 0 when only this upload must wait: then its answers alone open the breaker
	Account       bool          // the answer was taken for the account's: it cost the upload nothing
	NextID        string        // the upload that is now the head of the order queue; "": none
	NextGen       int64
}

// Finish records an attempt's outcome and moves its upload on. It may be called again when its
// reply was lost, and late, when the attempt was already taken for interrupted, or when Redis has
// lost what Begin had written down. The error is ErrNotFound when it has lost the upload itself.
func (l *Ledger) Finish(ctx context.Context, run Running, o AttemptResult) (FinishResult, error) {
	return l.finish(ctx, run, o, Time{})
}

// RecordDelivery records a delivery that is known from elsewhere than the ledger, which has lost
// it. The breaker learns nothing from it. Doing it again changes nothing. The error is ErrNotFound
// when there is no record of the upload.
func (l *Ledger) RecordDelivery(ctx context.Context, id string, a Attempt) (FinishResult, error) {
	run := Running{
		ID: id, Number: a.Number, Generation: a.Generation, Nonce: a.Nonce, Worker: a.Worker, StartedAt: a.StartedAt,
	}
	return l.finish(ctx, run, AttemptResult{
		Outcome: OutcomeDelivered, HTTPStatus: a.HTTPStatus, Code: a.Code, RequestID: a.RequestID, DevelopID: a.DevelopID,
		Msg: a.Msg, Duration: millis(a.DurationMS), Next: Delivered,
	}, a.EndedAt)
}

// Delivery gives the attempt that an outcome makes of what was running, as RecordDelivery takes it.
func (r Running) Delivery(o AttemptResult) Attempt {
	return Attempt{
		Number: r.Number, Generation: r.Generation, Nonce: r.Nonce, Worker: r.Worker, StartedAt: r.StartedAt,
		EndedAt: Time{r.StartedAt.Add(o.Duration)}, DurationMS: o.Duration.Milliseconds(), Outcome: o.Outcome,
		HTTPStatus: o.HTTPStatus, Code: o.Code, RequestID: o.RequestID, DevelopID: o.DevelopID, Msg: o.Msg,
	}
}

// finishArgs is what finish.lua takes: the attempt, and the plan of what follows. Durations and
// times are in ms.
type finishArgs struct {
	Number     int     `json:"number"`
	Generation int64   `json:"generation"`
	Nonce      string  `json:"nonce"`
	Worker     string  `json:"worker"`
	Started    int64   `json:"started"`
	Ended      int64   `json:"ended"` // 0: now
	Duration   int64   `json:"duration"`
	Outcome    Outcome `json:"outcome"`
	HTTP       string  `json:"http"`
	Code       string  `json:"code"`
	RequestID  string  `json:"request_id"`
	DevelopID  string  `json:"develop_id"`
	Error      string  `json:"error"`
	Msg        string  `json:"msg"`
	Trace      string  `json:"trace,omitempty"`
	Fault      Fault   `json:"fault"`
	Hold       int64   `json:"hold"`
	Next       State   `json:"next"`
	Delay      int64   `json:"delay"`
}

func finishArgsOf(run Running, o AttemptResult, ended Time) finishArgs {
	return finishArgs{
		Number: run.Number, Generation: run.Generation, Nonce: run.Nonce, Worker: line(run.Worker, 64),
		Started: unix(run.StartedAt), Ended: unix(ended), Duration: o.Duration.Milliseconds(), Outcome: o.Outcome,
		HTTP: number(o.HTTPStatus), Code: line(o.Code, 32), RequestID: line(o.RequestID, maxRequestID),
		DevelopID: line(o.DevelopID, 64), Error: line(o.Error, 300), Msg: line(o.Msg, 300), Trace: o.TraceID,
		Fault: o.Fault, Hold: o.Hold.Milliseconds(), Next: o.Next, Delay: o.Delay.Milliseconds(),
	}
}

// finishSettings is what finish.lua takes of the breaker's settings, in ms and counts.
type finishSettings struct {
	RowOutage    int   `json:"row_outage"`
	RowAccount   int   `json:"row_account"`
	RowRefusing  int   `json:"row_refusing"`
	OutageBase   int64 `json:"outage_base"`
	OutageMax    int64 `json:"outage_max"`
	ProbeBase    int64 `json:"probe_base"`
	ProbeMax     int64 `json:"probe_max"`
	ThrottleBase int64 `json:"throttle_base"`
	ThrottleMax  int64 `json:"throttle_max"`
}

// encodeFinishSettings writes them once, for every call.
func encodeFinishSettings(b BreakerSettings) []byte {
	ms := time.Duration.Milliseconds
	text, err := json.Marshal(finishSettings{
		RowOutage: b.OutageRow, RowAccount: b.AccountRow, RowRefusing: b.RefusingRow,
		OutageBase: ms(b.OutageBase), OutageMax: ms(b.OutageMax), ProbeBase: ms(b.ProbeBase), ProbeMax: ms(b.ProbeMax),
		ThrottleBase: ms(b.ThrottleBase), ThrottleMax: ms(b.ThrottleMax),
	})
	if err != nil {
		panic(err) // numbers can be written
	}
	return text
}

func (l *Ledger) finish(ctx context.Context, run Running, o AttemptResult, ended Time) (FinishResult, error) {
	account, key, err := ParseID(run.ID)
	if err != nil {
		return FinishResult{}, err
	}
	args, err := json.Marshal(finishArgsOf(run, o, ended))
	if err != nil {
		return FinishResult{}, fmt.Errorf("write attempt %d of %s: %w", run.Number, run.ID, err)
	}
	r, err := l.run(ctx, l.scripts.finish, account, key, args, l.finishSet, jitter(),
		l.set.KeepSent.Milliseconds(), l.set.KeepDead.Milliseconds())
	if err != nil {
		return FinishResult{}, fmt.Errorf("finish attempt %d of %s: %w", run.Number, run.ID, err)
	}
	rec := FinishResult{
		How: r.text(0), State: State(r.text(1)), Account: r.num(4) == 1, BreakerReason: r.text(7), BreakerWait: millis(r.num(8)),
	}
	if rec.How == "unknown" {
		return rec, fmt.Errorf("finish attempt %d of %s: %w", run.Number, run.ID, ErrNotFound)
	}
	rec.Wait = max(0, millis(r.num(2)-r.num(3)))
	if k := r.text(5); k != "" {
		rec.NextID, rec.NextGen = account+"-"+k, r.num(6)
	}
	return rec, nil
}
