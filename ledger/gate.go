package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Gate is a lane's gate as it stands: what one worker learned holds for all.
type Gate struct {
	Reason    string        // why it is shut: outage, throttled, credentials, endpoint, refusing, vault; "": open
	Since     Time          // when it was shut
	NextProbe Time          // when the next attempt may ask
	Wait      time.Duration // … from now, at least 0
	Step      int           // how often it was shut again
	Probing   bool          // an attempt is asking now

	LastAt      Time // the last answer of the API, or the lack of one
	LastVerdict Verdict
	LastStatus  int
	LastCode    string
	LastMsg     string

	Skew time.Duration // how far the API's clock is ahead of a worker's; 0: not worth a correction
}

// Gate reads a lane's gate.
func (l *Ledger) Gate(ctx context.Context, lane string) (Gate, error) {
	pipe := l.rdb.Pipeline()
	fields := pipe.HGetAll(ctx, prefix(lane)+"gate")
	clock := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return Gate{}, fmt.Errorf("read the gate of lane %s: %w", lane, err)
	}
	f := fields.Val()
	g := Gate{
		Reason: f["reason"], Step: int(integer(f["step"])),
		LastAt: at(integer(f["last_at"])), LastVerdict: Verdict(f["last_verdict"]),
		LastStatus: int(integer(f["last_http"])), LastCode: f["last_code"], LastMsg: f["last_msg"],
		Skew: millis(integer(f["skew"])),
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
func (l *Ledger) NoteSkew(ctx context.Context, lane string, skew time.Duration) error {
	if err := l.rdb.HSet(ctx, prefix(lane)+"gate", "skew", skew.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("note the clock skew of lane %s: %w", lane, err)
	}
	return nil
}
