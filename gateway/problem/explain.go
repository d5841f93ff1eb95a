package problem

import (
	"context"
	"errors"
	"fmt"
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

// Invalidf refuses a field of the request. The sentence follows the field's name, of which a client
// may have made up any length.
func Invalidf(field, format string, args ...any) *Error {
	field = field[:min(len(field), longestField)]
	return &Error{Kind: Field, Field: field, Detail: field + ": " + fmt.Sprintf(format, args...)}
}

const longestField = 40

// LargeBody refuses a body for its size.
func LargeBody() *Error {
	return &Error{Kind: TooLarge, Field: "voucher", Detail: "the body is larger than any accepted voucher can make it"}
}

// TooBusy refuses a request for which there is no place.
func TooBusy() *Error {
	return &Error{Kind: Busy, RetryAfter: busyPause, Detail: "too many requests of this kind at once; try again"}
}

// StoreAway refuses a request that Redis or the blob store is needed for; the same may succeed
// soon.
func StoreAway(detail string, cause error) *Error {
	return &Error{Kind: Away, RetryAfter: awayPause, Detail: detail, Cause: cause}
}

// Explain makes an error a problem. What it cannot tell apart is our fault; the cause goes to the
// log.
func Explain(err error) *Error {
	var p *Error
	var invalid *tasks.InvalidError
	var state *ledger.StateError
	var away *tasks.UnreachableError
	var behind *ledger.ReplicasError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return invalidProblem(invalid)
	case errors.As(err, &state):
		return &Error{Kind: State, State: string(state.State), Detail: stateSentence(state.State)}
	case errors.Is(err, tasks.ErrUnknownAccount):
		return &Error{Kind: NotFound, Detail: err.Error()}
	case errors.Is(err, ledger.ErrNotFound):
		return &Error{Kind: NotFound, Detail: "there is no such upload"}
	case errors.Is(err, ledger.ErrNotKept), errors.Is(err, blob.ErrMissing):
		return &Error{Kind: Gone, Detail: "the voucher is no longer kept"}
	case errors.Is(err, blob.ErrDamaged):
		return &Error{Kind: Damaged, Detail: "what the blob store holds is not what was enqueued", Cause: err}
	case errors.Is(err, ledger.ErrCursor):
		return &Error{Kind: Field, Field: "cursor", Detail: "cursor: is not one of a page of this list"}
	case errors.Is(err, tasks.ErrNoRoom):
		return &Error{
			Kind: NoRoom, RetryAfter: roomPause, Cause: err,
			Detail: "redis has no room for more vouchers until the backlog drains; nothing was stored, try again later",
		}
	case errors.Is(err, tasks.ErrSpoolFull):
		return &Error{
			Kind: NoRoom, RetryAfter: roomPause, Cause: err,
			Detail: "redis cannot be reached and the spool is full; nothing was stored, try again later",
		}
	case errors.As(err, &away):
		return StoreAway("redis cannot be reached; try again", err)
	case errors.As(err, &behind):
		return StoreAway("redis has too few replicas that are up to date: the voucher is recorded and not safe yet; enqueue it again", err)
	case errors.Is(err, context.Canceled):
		return &Error{Kind: Left, Detail: "the caller did not wait for the answer", Cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return StoreAway("the store does not answer in time; try again", err)
	default:
		return &Error{Kind: Internal, Detail: "something went wrong here; the log says more", Cause: err}
	}
}

func invalidProblem(e *tasks.InvalidError) *Error {
	p := &Error{Kind: Field, Field: e.Field, Detail: e.Error()}
	switch {
	case e.TooLarge:
		p.Kind = TooLarge
	case e.UnknownKind:
		p.Kind = VoucherKind
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
