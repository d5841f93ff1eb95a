package tasks

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

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
	OldestAgeMS int64                  `json:"oldestAgeMs,omitempty"` // how long the unfinished upload that waits longest has waited
	Uploads     map[ledger.State]int64 `json:"uploads"`

	DeliveredPerMinute float64 `json:"deliveredPerMinute"`     // over the last 5 minutes
	AttemptP95MS       int64   `json:"attemptP95Ms,omitempty"` // of the calls in them, 95 of 100 took no longer
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

// CompareTrouble orders accounts for people: first those whose uploads nobody delivers, then those whose
// breaker is open, those that somebody or the API holds, and the others by name.
func CompareTrouble(a, b AccountStatus) int {
	return cmp.Or(cmp.Compare(a.order(), b.order()), cmp.Compare(a.Account, b.Account))
}

// order is the smaller the sooner a person should look.
func (s AccountStatus) order() int {
	switch {
	case s.Unattended():
		return 0
	case s.Reason != "" && s.Reason != "throttled" && s.Pause == nil:
		return 1
	case s.Reason != "" || s.Paused:
		return 2
	case s.Uploads[ledger.Rejected]+s.Uploads[ledger.Expired] > 0:
		return 3
	default:
		return 4
	}
}

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
	if err != nil {
		return s, err
	}
	s.Backlog, s.OldestAgeMS, s.Uploads = counts.Unfinished(), counts.Oldest.Milliseconds(), counts.ByState
	lately, err := c.ledger.Activity(ctx, name, time.Minute, rateMinutes+1)
	if err != nil {
		return s, err
	}
	s.measure(lately)
	return s, nil
}

// rateMinutes is over how many whole minutes an account's rate is taken, and the one under way.
const rateMinutes = 5

// measure takes the figures of the last minutes.
func (s *AccountStatus) measure(lately ledger.Activity) {
	var calls ledger.Durations
	var delivered int64
	for _, step := range lately.Steps {
		calls.Add(step.Calls)
		delivered += step.Attempts[ledger.OutcomeDelivered]
	}
	minutes := lately.Now.Sub(lately.Steps[0].At.Time).Minutes()
	s.DeliveredPerMinute = math.Round(float64(delivered)/minutes*10) / 10
	s.AttemptP95MS = calls.Percentile(.95).Milliseconds()
}

// Activity reads what happened in an account lately, by steps of time; see ledger.Ledger.Activity.
func (c *Client) Activity(ctx context.Context, account string, step time.Duration, n int) (ledger.Activity, error) {
	a, err := c.ledger.Activity(ctx, account, step, n)
	return a, c.explain(err)
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
