package tasks

import (
	"context"
	"fmt"
	"slices"

	"github.com/voucherd/voucherd/ledger"
)

// AccountStatus is how an account stands, as it is shown to people and programs.
type AccountStatus struct {
	Account     string                 `json:"account"`
	Breaker     BreakerState           `json:"breaker"`
	Reason      string                 `json:"reason,omitempty"`     // why the breaker is not closed
	Since       ledger.Time            `json:"since,omitzero"`       // when it opened
	NextProbeAt ledger.Time            `json:"nextProbeAt,omitzero"` // of a pause: when it ends by itself
	Pause       *ledger.Pause          `json:"pause,omitempty"`      // the person's who holds it; reason is then "paused"
	LastAnswer  *LastAnswer            `json:"lastAnswer,omitempty"`
	ClockSkewMS int64                  `json:"clockSkewMs,omitempty"` // the API's clock is ahead of the workers' by this
	Paused      bool                   `json:"paused"`                // asynqmon's Pause
	Workers     []ledger.WorkerInfo    `json:"workers"`               // those that live, and the last that did not
	Rate        string                 `json:"rate,omitempty"`        // most calls within a time, as its workers have it
	Backlog     int64                  `json:"backlog"`
	OldestAgeMS int64                  `json:"oldestAgeMs,omitempty"` // of the oldest unfinished upload
	Uploads     map[ledger.State]int64 `json:"uploads"`
}

// LiveWorkers counts the workers that live.
func (s AccountStatus) LiveWorkers() int {
	n := 0
	for _, w := range s.Workers {
		if w.Live {
			n++
		}
	}
	return n
}

// Unattended says that uploads wait and no worker lives.
func (s AccountStatus) Unattended() bool { return s.Backlog > 0 && s.LiveWorkers() == 0 }

// Attended says that the account had a worker at some time.
func (s AccountStatus) Attended() bool { return len(s.Workers) > 0 || s.LastAnswer != nil }

// BreakerState is whether an account's circuit breaker lets attempts pass.
type BreakerState string

// The states of a circuit breaker.
const (
	BreakerClosed   BreakerState = "closed"    // attempts pass
	BreakerOpen     BreakerState = "open"      // they wait, for a reason
	BreakerHalfOpen BreakerState = "half-open" // they wait, and one of them is a probe under way
)

func breakerState(b ledger.Breaker) BreakerState {
	switch {
	case b.Reason == "":
		return BreakerClosed
	case b.Probing:
		return BreakerHalfOpen
	default:
		return BreakerOpen
	}
}

// LastAnswer is what the API last said to an account, or that it said nothing.
type LastAnswer struct {
	At         ledger.Time    `json:"at"`
	Outcome    ledger.Outcome `json:"outcome"`
	HTTPStatus int            `json:"httpStatus,omitempty"`
	Code       string         `json:"code,omitempty"`
	Msg        string         `json:"msg,omitempty"`
}

// Accounts tells how every account stands, by name. Its cost does not grow with the number of
// uploads.
func (c *Client) Accounts(ctx context.Context) ([]AccountStatus, error) {
	names, err := c.ledger.Accounts(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	slices.Sort(names)
	out := make([]AccountStatus, 0, len(names))
	for _, name := range names {
		s, err := c.account(ctx, name)
		if err != nil {
			return nil, c.explain(err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (c *Client) account(ctx context.Context, name string) (AccountStatus, error) {
	s, err := c.standing(ctx, name)
	if err != nil {
		return s, err
	}
	counts, err := c.ledger.Counts(ctx, name)
	s.Backlog, s.OldestAgeMS, s.Uploads = counts.Unfinished(), counts.Oldest.Milliseconds(), counts.ByState
	return s, err
}

// standing tells how an account stands, but for its uploads.
func (c *Client) standing(ctx context.Context, name string) (AccountStatus, error) {
	g, err := c.ledger.Breaker(ctx, name)
	if err != nil {
		return AccountStatus{}, err
	}
	workers, err := c.ledger.Workers(ctx, name)
	if err != nil {
		return AccountStatus{}, err
	}
	// asynq keeps a queue's pause under this key; its Inspector would sample the memory of every
	// task to say so.
	paused, err := c.cfg.Redis.Exists(ctx, "asynq:{"+ledger.Queue(name)+"}:paused").Result()
	if err != nil {
		return AccountStatus{}, fmt.Errorf("ask whether account %s is paused: %w", name, err)
	}
	s := AccountStatus{
		Account: name, Breaker: breakerState(g), Reason: g.Reason, Since: g.Since, NextProbeAt: g.NextProbe,
		ClockSkewMS: g.Skew.Milliseconds(), Pause: g.Pause, Paused: paused == 1, Workers: workers,
	}
	for _, w := range workers {
		if w.Live {
			s.Rate = w.Rate
		}
	}
	if !g.LastAt.IsZero() {
		s.LastAnswer = &LastAnswer{
			At: g.LastAt, Outcome: g.LastOutcome, HTTPStatus: g.LastStatus, Code: g.LastCode, Msg: g.LastMsg,
		}
	}
	return s, nil
}

// Sizes compares an account's indexes with each other and with its queue.
func (c *Client) Sizes(ctx context.Context, account string) (ledger.Sizes, error) {
	s, err := c.ledger.Sizes(ctx, account)
	return s, c.explain(err)
}
