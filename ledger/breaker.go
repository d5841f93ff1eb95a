package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Reasons of an open breaker that no answer of the API gives.
const (
	ReasonStore    = "store"    // the blob store cannot be read
	ReasonIdentity = "identity" // no identity of the worker opens the voucher
	ReasonPaused   = "paused"   // a person holds the account
)

// Reasons lists every reason of an open breaker.
func Reasons() []string {
	return []string{
		"outage", "throttled", string(FaultCredentials), string(FaultEndpoint), string(FaultRefusing), ReasonStore, ReasonIdentity, ReasonPaused,
	}
}

// Breaker is an account's breaker as it stands: what one worker learned holds for all.
type Breaker struct {
	Reason    string        // why it is open, one of Reasons; "": it is closed
	Since     Time          // when it opened
	NextProbe Time          // when the next attempt may ask; zero: when a person resumes the account
	Wait      time.Duration // … from now, at least 0
	Step      int           // how often it opened again
	Probing   bool          // an attempt is asking now
	Pause     *Pause        // a person's, which comes before any other reason; nil: none

	LastAt      Time // the last answer of the API, or the lack of one
	LastOutcome Outcome
	LastStatus  int
	LastCode    string
	LastMsg     string

	Skew time.Duration // how far the API's clock is ahead of a worker's; 0: not worth a correction
}

// Breaker reads an account's breaker.
func (l *Ledger) Breaker(ctx context.Context, account string) (Breaker, error) {
	pipe := l.rdb.Pipeline()
	fields := pipe.HGetAll(ctx, prefix(account)+"breaker")
	clock := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return Breaker{}, fmt.Errorf("read the breaker of account %s: %w", account, err)
	}
	f := fields.Val()
	g := Breaker{
		Reason: f["reason"], Step: int(integer(f["step"])),
		LastAt: at(integer(f["last_at"])), LastOutcome: Outcome(f["last_outcome"]),
		LastStatus: int(integer(f["last_http"])), LastCode: f["last_code"], LastMsg: f["last_msg"],
		Skew: millis(integer(f["skew"])),
	}
	if g.Pause = readPause(f, clock.Val()); g.Pause != nil {
		g.Reason, g.Since, g.NextProbe = ReasonPaused, g.Pause.Since, g.Pause.Until
		if !g.NextProbe.IsZero() {
			g.Wait = g.NextProbe.Sub(clock.Val())
		}
		return g, nil
	}
	if g.Reason == "" {
		return g, nil
	}
	g.Since, g.NextProbe = at(integer(f["since"])), at(integer(f["until"]))
	g.Wait = max(0, g.NextProbe.Sub(clock.Val()))
	g.Probing = f["probe"] != "" && integer(f["probe_till"]) > clock.Val().UnixMilli()
	return g, nil
}

// integer reads what the scripts wrote; what is missing is 0.
func integer(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// NoteSkew notes how far the API's clock is ahead of a worker's, for people to see.
func (l *Ledger) NoteSkew(ctx context.Context, account string, skew time.Duration) error {
	if err := l.rdb.HSet(ctx, prefix(account)+"breaker", "skew", skew.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("note the clock skew of account %s: %w", account, err)
	}
	return nil
}

// Renew says that the account has a new secret: a breaker that is open because of the credentials
// may be asked at once, and what answers about these cost uploads that are not finished they get
// back. Doing it again changes nothing.
func (l *Ledger) Renew(ctx context.Context, account string) error {
	if _, err := l.run(ctx, l.scripts.renew, account, ""); err != nil {
		return fmt.Errorf("note the new secret of account %s: %w", account, err)
	}
	return nil
}
