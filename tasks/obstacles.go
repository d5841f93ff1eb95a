package tasks

import (
	"context"
	"fmt"
	"strings"

	"github.com/voucherd/voucherd/ledger"
)

// Obstacle is why an account's uploads wait: the reason of its open breaker, or one of these.
type Obstacle string

// Obstacles that are no reasons of a breaker.
const (
	ObstacleNoWorker    Obstacle = "no-worker"    // no worker lives
	ObstacleQueuePaused Obstacle = "queue-paused" // the queue is paused in asynq
)

// Obstacles gives all that is in the way of the account's uploads.
func (s AccountStatus) Obstacles() []Obstacle {
	var all []Obstacle
	if s.LiveWorkers() == 0 {
		all = append(all, ObstacleNoWorker)
	}
	if s.Paused {
		all = append(all, ObstacleQueuePaused)
	}
	if s.Breaker != BreakerClosed {
		all = append(all, Obstacle(s.Reason))
	}
	return all
}

// WaitsFor says in half a sentence what is in the way of the account's uploads; "" if nothing is.
// Clock writes the times in it.
func (s AccountStatus) WaitsFor(clock func(ledger.Time) string) string {
	var all []string
	for _, o := range s.Obstacles() {
		switch o {
		case ObstacleNoWorker:
			all = append(all, s.noWorker(clock))
		case ObstacleQueuePaused:
			all = append(all, "the queue of account "+s.Account+" is paused in asynq")
		case ledger.ReasonPaused:
			all = append(all, s.pausedBy(clock))
		default:
			all = append(all, fmt.Sprintf(breakerSentence(s.Reason), clock(s.Since))+", "+s.nextProbe(clock))
		}
	}
	return strings.Join(all, "; ")
}

func (s AccountStatus) noWorker(clock func(ledger.Time) string) string {
	var last ledger.Time
	for _, w := range s.Workers {
		if w.LastBeat.After(last.Time) {
			last = w.LastBeat
		}
	}
	said := "no worker of account " + s.Account + " is running"
	if last.IsZero() {
		return said
	}
	return said + " since " + clock(last)
}

func (s AccountStatus) pausedBy(clock func(ledger.Time) string) string {
	said := "account " + s.Account + " is paused since " + clock(s.Since)
	end := ", until it is resumed"
	if p := s.Pause; p != nil {
		if p.By != "" {
			said += " by " + p.By
		}
		if !p.Until.IsZero() {
			end = ", until " + clock(p.Until)
		}
		if p.Reason != "" {
			end += " (" + p.Reason + ")"
		}
	}
	return said + end
}

func (s AccountStatus) nextProbe(clock func(ledger.Time) string) string {
	if s.Breaker == BreakerHalfOpen {
		return "a probe is under way"
	}
	return "next probe " + clock(s.NextProbeAt)
}

// breakerSentence says why a breaker is open; it has room for since when.
func breakerSentence(reason string) string {
	switch reason {
	case "outage":
		return "PandaPon is down since %s"
	case "throttled":
		return "PandaPon asked for fewer calls at %s"
	case "credentials":
		return "PandaPon refuses the account since %s (check access key, secret and user id)"
	case "endpoint":
		return "PandaPon does not know the upload path since %s (check PANDAPON_UPLOAD_PATH)"
	case "refusing":
		return "PandaPon refuses everything alike since %s"
	case ledger.ReasonStore:
		return "the blob store cannot be read since %s"
	case ledger.ReasonIdentity:
		return "no worker has the identity that opens the voucher since %s (check VOUCHERD_IDENTITY_FILE)"
	default:
		return "the circuit breaker is open since %s (" + strings.ReplaceAll(reason, "%", "%%") + ")"
	}
}

// UploadStatus is an upload and what its delivery waits for.
type UploadStatus struct {
	ledger.Upload

	Delivery *Delivery `json:"delivery,omitempty"` // nil: the upload is finished

	standing AccountStatus
}

// WaitsFor says in half a sentence what is in the way of an unfinished upload; "" if nothing is.
// Clock writes the times in it.
func (u UploadStatus) WaitsFor(clock func(ledger.Time) string) string {
	if u.Delivery == nil {
		return ""
	}
	return u.standing.WaitsFor(clock)
}

// Delivery is how the account of an unfinished upload stands.
type Delivery struct {
	Breaker     BreakerState  `json:"breaker"`
	Reason      string        `json:"reason,omitempty"`
	Since       ledger.Time   `json:"since,omitzero"`
	NextProbeAt ledger.Time   `json:"nextProbeAt,omitzero"`
	Pause       *ledger.Pause `json:"pause,omitempty"`
	LiveWorkers int           `json:"liveWorkers"`
	Obstacles   []Obstacle    `json:"obstacles"`          // empty: nothing is in the way
	WaitsFor    string        `json:"waitsFor,omitempty"` // the same in words
}

// Status gives an upload with how its account stands, unless it is finished.
func (c *Client) Status(ctx context.Context, u ledger.Upload) (UploadStatus, error) {
	if u.State.Final() {
		return UploadStatus{Upload: u}, nil
	}
	s, err := c.Standing(ctx, u.Account)
	if err != nil {
		return UploadStatus{}, err
	}
	return UploadStatus{Upload: u, standing: s, Delivery: &Delivery{
		Breaker: s.Breaker, Reason: s.Reason, Since: s.Since, NextProbeAt: s.NextProbeAt, Pause: s.Pause,
		LiveWorkers: s.LiveWorkers(), Obstacles: append([]Obstacle{}, s.Obstacles()...), WaitsFor: s.WaitsFor(ledger.Time.String),
	}}, nil
}

// Standing tells how an account stands, without what Accounts says of its uploads.
func (c *Client) Standing(ctx context.Context, account string) (AccountStatus, error) {
	s, err := c.standing(ctx, account)
	return s, c.explain(err)
}
