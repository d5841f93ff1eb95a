package tasks

import (
	"context"
	"fmt"
	"slices"

	"github.com/voucherd/voucherd/ledger"
)

// LaneStatus is how a lane stands, as it is shown to people and programs.
type LaneStatus struct {
	Lane        string                 `json:"lane"`
	Open        bool                   `json:"open"`             // the gate lets attempts pass
	Reason      string                 `json:"reason,omitempty"` // why the gate is shut
	Since       ledger.Time            `json:"since,omitzero"`
	NextProbeAt ledger.Time            `json:"nextProbeAt,omitzero"`
	Probing     bool                   `json:"probing,omitempty"`
	LastAnswer  *LastAnswer            `json:"lastAnswer,omitempty"`
	ClockSkewMS int64                  `json:"clockSkewMs,omitempty"` // the API's clock is ahead of the workers' by this
	Paused      bool                   `json:"paused"`                // asynqmon's Pause
	Backlog     int64                  `json:"backlog"`
	OldestAgeMS int64                  `json:"oldestAgeMs,omitempty"` // of the oldest unfinished upload
	Uploads     map[ledger.State]int64 `json:"uploads"`
}

// LastAnswer is what the API last said to a lane, or that it said nothing.
type LastAnswer struct {
	At         ledger.Time    `json:"at"`
	Verdict    ledger.Verdict `json:"verdict"`
	HTTPStatus int            `json:"httpStatus,omitempty"`
	Code       string         `json:"code,omitempty"`
	Msg        string         `json:"msg,omitempty"`
}

// Lanes tells how every lane stands, by name. Its cost does not grow with the number of uploads.
func (c *Client) Lanes(ctx context.Context) ([]LaneStatus, error) {
	names, err := c.ledger.Lanes(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	slices.Sort(names)
	out := make([]LaneStatus, 0, len(names))
	for _, name := range names {
		s, err := c.lane(ctx, name)
		if err != nil {
			return nil, c.explain(err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (c *Client) lane(ctx context.Context, name string) (LaneStatus, error) {
	g, err := c.ledger.Gate(ctx, name)
	if err != nil {
		return LaneStatus{}, err
	}
	counts, err := c.ledger.Counts(ctx, name)
	if err != nil {
		return LaneStatus{}, err
	}
	// asynq keeps a queue's pause under this key; its Inspector would sample the memory of every task to say so.
	paused, err := c.cfg.Redis.Exists(ctx, "asynq:{"+ledger.Queue(name)+"}:paused").Result()
	if err != nil {
		return LaneStatus{}, fmt.Errorf("ask whether lane %s is paused: %w", name, err)
	}
	s := LaneStatus{
		Lane: name, Open: g.Reason == "", Reason: g.Reason, Since: g.Since, NextProbeAt: g.NextProbe, Probing: g.Probing,
		ClockSkewMS: g.Skew.Milliseconds(),
		Paused:      paused == 1, Backlog: counts.Unfinished(), OldestAgeMS: counts.Oldest.Milliseconds(), Uploads: counts.ByState,
	}
	if !g.LastAt.IsZero() {
		s.LastAnswer = &LastAnswer{
			At: g.LastAt, Verdict: g.LastVerdict, HTTPStatus: g.LastStatus, Code: g.LastCode, Msg: g.LastMsg,
		}
	}
	return s, nil
}

// Sizes compares a lane's indexes with each other and with its queue.
func (c *Client) Sizes(ctx context.Context, lane string) (ledger.Sizes, error) {
	s, err := c.ledger.Sizes(ctx, lane)
	return s, c.explain(err)
}
