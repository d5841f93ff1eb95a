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
	Started     Answer = "started"      // written down: send it now, then Finish or Release
	BreakerOpen Answer = "breaker open" // the breaker is open: ask again after Wait
	TurnLater   Answer = "turn"         // the account has a rate: ask again after Wait, with Turn
	Busy        Answer = "busy"         // another attempt holds its lease: ask again after Wait
	Early       Answer = "early"        // its time has not come: ask again after Wait
	Stale       Answer = "stale"        // this task no longer counts: drop it
)

// BeginResult is what Begin gives: Running when the answer is Started, else Wait.
type BeginResult struct {
	Answer  Answer
	Running Running
	Wait    Wait
	Turn    int64 // when the answer is TurnLater: the turn that is the worker's from now on
}

// Wait says why an attempt must not start, and how long until it is worth asking again.
type Wait struct {
	Reason string
	For    time.Duration
}

// NewAttempt names an attempt that wants to start.
type NewAttempt struct {
	ID         string
	Generation int64
	Nonce      string        // made by the caller, unique to this attempt
	Worker     string        // who makes it
	Instance   string        // the worker's, as it beats
	Lease      time.Duration // how long no other attempt may start; longer than the call can take
	Rate       Rate          // of the account, the same from all its workers
	Turn       int64         // that the worker got for this attempt, or for another that did not start; 0: none
}

// Running is an attempt that has started, and what is needed to send it.
type Running struct {
	ID, Account, OrderID, UserID string
	Number                       int
	Generation                   int64
	Nonce, Worker                string
	StartedAt                    Time
	Probe                        bool // it asks, for the whole account, whether the breaker may close
	Interrupted                  bool // the attempt before it was found cut off
	SHA256                       string
	CRC32C                       string // hex; "": not known
	Size                         int64
	StoreKey                     string
	Age                          time.Duration // since its creation or last retry
	Refusals                     int           // spent of the budget so far
	Unanswered                   int           // attempts without an answer since the last one that had one
	Inline                       bool          // the ledger keeps the voucher itself
	Pieces                       []string      // of such a voucher, in order, when it is small enough to come along
}

// Begin writes an attempt down, or says why it must not start now. It is safe to call again with
// the same nonce when its reply was lost.
func (l *Ledger) Begin(ctx context.Context, a NewAttempt) (BeginResult, error) {
	account, key, err := ParseID(a.ID)
	if err != nil {
		return BeginResult{Answer: Stale, Wait: Wait{Reason: "unknown"}}, nil //nolint:nilerr // a task with such an id can only be dropped
	}
	r, err := l.run(ctx, l.scripts.begin, account, key, a.Generation, a.Nonce, line(a.Worker, 64), a.Instance,
		a.Lease.Milliseconds(), beginMost, a.Rate.every(), a.Turn)
	if err != nil {
		return BeginResult{}, fmt.Errorf("begin an attempt of %s: %w", a.ID, err)
	}
	switch answer := Answer(r.text(0)); answer {
	case BreakerOpen:
		return BeginResult{Answer: BreakerOpen, Wait: Wait{Reason: r.text(1), For: millis(r.num(2))}}, nil
	case TurnLater:
		return BeginResult{Answer: TurnLater, Turn: r.num(1), Wait: Wait{For: millis(r.num(2))}}, nil
	case Busy, Early:
		return BeginResult{Answer: answer, Wait: Wait{For: millis(r.num(1))}}, nil
	case Stale:
		return BeginResult{Answer: Stale, Wait: Wait{Reason: r.text(1)}}, nil
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
		CRC32C: r.text(14), Inline: r.num(15) == 1, Pieces: r.texts(16),
	}
}

// Release takes back an attempt that sent nothing. With a reason, ReasonStore or ReasonIdentity, the
// breaker is open until an attempt succeeds; any other upload may probe at once, until one fares the
// same.
func (l *Ledger) Release(ctx context.Context, run Running, reason string) error {
	account, key, err := ParseID(run.ID)
	if err != nil {
		return err
	}
	g := l.set.Breaker
	_, err = l.run(ctx, l.scripts.release, account, key, run.Nonce, reason,
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
