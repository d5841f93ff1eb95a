package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// Pauses that callers are asked to make.
const (
	busyPause = 2 * time.Second
	awayPause = 5 * time.Second
	roomPause = time.Minute
)

// explain makes an error a problem. What it cannot tell apart is our fault; the cause goes to the log.
func explain(err error) *problem {
	var p *problem
	var invalid *tasks.InvalidError
	var state *ledger.StateError
	var away *tasks.UnreachableError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return invalidProblem(invalid)
	case errors.As(err, &state):
		return &problem{kind: problemState, state: string(state.State), detail: stateSentence(state.State)}
	case errors.Is(err, ledger.ErrNotFound):
		return &problem{kind: problemNotFound, detail: "there is no such upload"}
	case errors.Is(err, ledger.ErrNotKept), errors.Is(err, blob.ErrMissing):
		return &problem{kind: problemGone, detail: "the voucher is no longer kept"}
	case errors.Is(err, blob.ErrDamaged):
		return &problem{kind: problemDamaged, detail: "what the blob store holds is not what was enqueued", cause: err}
	case errors.Is(err, ledger.ErrCursor):
		return &problem{kind: problemField, field: "cursor", detail: "cursor: is not one of a page of this list"}
	case errors.Is(err, tasks.ErrNoRoom):
		return &problem{
			kind: problemNoRoom, retryAfter: roomPause, cause: err,
			detail: "redis has no room for more vouchers until the backlog drains; nothing was stored, try again later",
		}
	case errors.As(err, &away):
		return &problem{kind: problemAway, retryAfter: awayPause, detail: "redis cannot be reached; try again", cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{kind: problemAway, retryAfter: awayPause, detail: "the store does not answer in time; try again", cause: err}
	default:
		return &problem{kind: problemInternal, detail: "something went wrong here; the log says more", cause: err}
	}
}

func invalidProblem(e *tasks.InvalidError) *problem {
	p := &problem{kind: problemField, field: e.Field, detail: e.Error()}
	switch {
	case e.TooLarge:
		p.kind = problemTooLarge
	case e.UnknownKind:
		p.kind = problemVoucherKind
	}
	return p
}

func stateSentence(s ledger.State) string {
	switch s {
	case ledger.Sending:
		return "the upload is being sent: wait for the outcome"
	case ledger.Queued:
		return "the upload is queued already"
	case ledger.Delivered:
		return "the upload is delivered: enqueue the voucher with again to send it once more"
	case ledger.Waiting, ledger.Rejected, ledger.Expired, ledger.Discarded:
	}
	return "the upload is " + string(s)
}
