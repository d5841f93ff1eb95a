package ledger

import (
	"context"
	"fmt"
	"time"
)

// Pause is a person's hold of an account: no attempt starts, not even a probe.
type Pause struct {
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"` // who paused it
	Since  Time   `json:"since"`
	Until  Time   `json:"until,omitzero"` // when it ends by itself; zero: when a person resumes the account
}

const (
	maxPauseReason = 800 // bytes
	maxBy          = 100
)

// Pause holds an account for this long; 0: until Resume. No answer of the API ends it. What had
// opened the breaker before, and what comes of attempts under way, counts again once it is over.
func (l *Ledger) Pause(ctx context.Context, account, reason, by string, long time.Duration) error {
	_, err := l.run(ctx, l.scripts.pause, account, "", line(reason, maxPauseReason), line(by, maxBy), long.Milliseconds())
	if err != nil {
		return fmt.Errorf("pause account %s: %w", account, err)
	}
	return nil
}

// Resume ends a pause. It changes nothing when the account is not paused.
func (l *Ledger) Resume(ctx context.Context, account string) error {
	err := l.rdb.HDel(ctx, prefix(account)+"breaker", "paused_at", "paused_till", "paused_for", "paused_by").Err()
	if err != nil {
		return fmt.Errorf("resume account %s: %w", account, err)
	}
	return nil
}

// readPause gives the pause that a breaker's record tells of; nil when there is none, or it is over.
func readPause(f map[string]string, now time.Time) *Pause {
	p := Pause{Reason: f["paused_for"], By: f["paused_by"], Since: at(integer(f["paused_at"])), Until: at(integer(f["paused_till"]))}
	if p.Since.IsZero() || !p.Until.IsZero() && !p.Until.After(now) {
		return nil
	}
	return &p
}
