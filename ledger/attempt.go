package ledger

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Answer says whether an attempt may start.
type Answer string

// The answers of Begin.
const (
	Started Answer = "started" // written down: send it now, then Finish or Release
	Held    Answer = "held"    // the breaker is open: ask again after Wait
	Busy    Answer = "busy"    // another attempt holds its lease: ask again after Wait
	Early   Answer = "early"   // its time has not come: ask again after Wait
	Stale   Answer = "stale"   // this task no longer counts: drop it
)

// BeginResult is what Begin gives: Running when the answer is Started, else Hold.
type BeginResult struct {
	Answer  Answer
	Running Running
	Hold    Hold
}

// Hold says why an attempt must not start, and how long until it is worth asking again.
type Hold struct {
	Reason string
	Wait   time.Duration
}

// NewAttempt names an attempt that wants to start.
type NewAttempt struct {
	ID         string
	Generation int64
	Nonce      string        // made by the caller, unique to this attempt
	Worker     string        // who makes it
	Lease      time.Duration // how long no other attempt may start; longer than the call can take
	Bring      int64         // a voucher in the ledger's own Redis of at most this many bytes comes along; 0: none does
}

// Running is an attempt that has started, and what is needed to send it.
type Running struct {
	ID, Account, OrderID, UserID string
	Number                       int
	Generation                   int64
	Nonce, Worker                string
	StartedAt                    Time
	Probe                        bool // it asks, for the whole account, whether the breaker may open
	Interrupted                  bool // the attempt before it was found cut off
	SHA256                       string
	CRC32C                       string // hex; "": not known
	Size                         int64
	StoreKey                     string
	Age                          time.Duration // since its creation or last retry
	Refusals                     int           // spent of the budget so far
	Unanswered                   int           // attempts without an answer since the last one that had one
	Pieces                       []string      // of the voucher, in order, when it was to be brought and is there
}

// Begin writes an attempt down, or says why it must not start now. It is safe to call again with the same nonce when
// its reply was lost.
func (l *Ledger) Begin(ctx context.Context, a NewAttempt) (BeginResult, error) {
	account, key, err := ParseID(a.ID)
	if err != nil {
		return BeginResult{Answer: Stale, Hold: Hold{Reason: "unknown"}}, nil //nolint:nilerr // a task with such an id can only be dropped
	}
	r, err := l.run(ctx, l.scripts.begin, account, key, a.Generation, a.Nonce, line(a.Worker, 64), a.Lease.Milliseconds(), a.Bring)
	if err != nil {
		return BeginResult{}, fmt.Errorf("begin an attempt of %s: %w", a.ID, err)
	}
	switch answer := Answer(r.text(0)); answer {
	case Held:
		return BeginResult{Answer: Held, Hold: Hold{Reason: r.text(1), Wait: millis(r.num(2))}}, nil
	case Busy, Early:
		return BeginResult{Answer: answer, Hold: Hold{Wait: millis(r.num(1))}}, nil
	case Stale:
		return BeginResult{Answer: Stale, Hold: Hold{Reason: r.text(1)}}, nil
	case Started:
		return BeginResult{Answer: Started, Running: readRunning(a, account, r)}, nil
	case "newer":
		return BeginResult{}, fmt.Errorf("begin an attempt of %s: %w", a.ID, ErrNewerRecord)
	default:
		return BeginResult{}, fmt.Errorf("begin an attempt of %s: %w: %q", a.ID, errReply, answer)
	}
}

func readRunning(a NewAttempt, account string, r reply) Running {
	return Running{
		ID: a.ID, Account: account, Nonce: a.Nonce, Generation: a.Generation, Worker: a.Worker,
		Number: int(r.num(2)), StartedAt: at(r.num(3)), Probe: r.num(4) == 1, Interrupted: r.num(5) == 1,
		OrderID: r.text(6), UserID: r.text(7), SHA256: unpackHash(r.text(8)), Size: r.num(9), StoreKey: r.text(10),
		Age: millis(r.num(1) - r.num(11)), Refusals: int(r.num(12)), Unanswered: int(r.num(13)),
		CRC32C: r.text(14), Pieces: r.texts(15),
	}
}

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

// AttemptResult is what an attempt came to, and the plan of what follows if the answer is the upload's own.
type AttemptResult struct {
	Outcome    Outcome
	HTTPStatus int
	Code       string
	RequestID  string
	DevelopID  string
	Msg        string
	Error      string
	Duration   time.Duration

	Fault Fault
	Hold  time.Duration // the API's own word on how long the account shall wait; 0: none
	Next  State         // Delivered, Rejected, Expired or Waiting
	Delay time.Duration // until the next attempt, when Waiting
	Drop  bool          // once Delivered, the voucher leaves the ledger's own Redis at once
}

// FinishResult says what Finish made of an outcome.
type FinishResult struct {
	How           string // "recorded", "late" (the attempt counted as interrupted already) or "repeated"
	State         State
	Wait          time.Duration // until the next attempt is due
	BreakerReason string        // why the breaker is open now; "": open
	BreakerWait   time.Duration // 0 when only this upload must wait: then its answers alone open the breaker
	Account       bool          // the answer was taken for the account's: it cost the upload nothing
	NextID        string        // the upload that is now the head of the line; "": none
	NextGen       int64
}

// Finish records an attempt's outcome and moves its upload on. It may be called again when its reply was lost, and
// late, when the attempt was already taken for interrupted, or when Redis has lost what Begin had written down. The
// error is ErrNotFound when it has lost the upload itself.
func (l *Ledger) Finish(ctx context.Context, run Running, o AttemptResult) (FinishResult, error) {
	return l.finish(ctx, run, o, Time{})
}

// RecordDelivery records a delivery that is known from elsewhere than the ledger, which has lost it. Doing it again
// changes nothing. The error is ErrNotFound when there is no record of the upload.
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

func (l *Ledger) finish(ctx context.Context, run Running, o AttemptResult, ended Time) (FinishResult, error) {
	account, key, err := ParseID(run.ID)
	if err != nil {
		return FinishResult{}, err
	}
	g := l.set.Breaker
	ms := time.Duration.Milliseconds
	r, err := l.run(ctx, l.scripts.finish, account, key, run.Number, run.Nonce,
		ms(o.Duration), string(o.Outcome), number(o.HTTPStatus), line(o.Code, 32), line(o.RequestID, maxRequestID),
		line(o.DevelopID, 64), line(o.Error, 300), line(o.Msg, 300),
		string(o.Fault), ms(o.Hold), string(o.Next), ms(o.Delay), ms(l.set.Grace), ms(l.set.KeepSent), ms(l.set.KeepDead), flag(o.Drop),
		jitter(), g.OutageRow, g.AccountRow, g.RefusingRow, ms(g.OutageBase), ms(g.OutageMax),
		ms(g.ProbeBase), ms(g.ProbeMax), ms(g.ThrottleBase), ms(g.ThrottleMax),
		run.Generation, unix(run.StartedAt), line(run.Worker, 64), unix(ended))
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

// Release takes back an attempt that sent nothing. With storeAway the account is held until its blob store is back.
func (l *Ledger) Release(ctx context.Context, run Running, storeAway bool) error {
	account, key, err := ParseID(run.ID)
	if err != nil {
		return err
	}
	reason := ""
	if storeAway {
		reason = "store"
	}
	g := l.set.Breaker
	_, err = l.run(ctx, l.scripts.release, account, key, run.Number, run.Nonce, reason, l.set.Grace.Milliseconds(),
		jitter(), g.ProbeBase.Milliseconds(), g.ProbeMax.Milliseconds())
	if err != nil {
		return fmt.Errorf("release attempt %d of %s: %w", run.Number, run.ID, err)
	}
	return nil
}

// jitter spreads the probes of many workers and accounts by a fifth to either side.
func jitter() float64 { return 0.8 + 0.4*rand.Float64() }

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func at(ms int64) Time {
	if ms == 0 {
		return Time{}
	}
	return Time{time.UnixMilli(ms).UTC()}
}

// unix is the inverse of at.
func unix(t Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// line makes a text fit for an attempt's line: no control characters, bounded.
func line(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return clip(s, n)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func unpackHash(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(b)
}
