package worker

import (
	"errors"
	"time"

	"github.com/hibiken/asynq"
)

// retryLater is the error that hands a task back to asynq, due again after Delay. Only an attempt
// that failed counts as a failure in asynq's statistics; a task that merely waited does not.
type retryLater struct { //nolint:errname // it says what happens next
	Delay  time.Duration
	Failed bool
	Reason string
}

func (g *retryLater) Error() string { return g.Reason }

// isFailure is asynq's IsFailure.
func isFailure(err error) bool {
	if g, ok := errors.AsType[*retryLater](err); ok {
		return g.Failed
	}
	return !errors.Is(err, asynq.ErrLeaseExpired)
}

// retryDelay is asynq's RetryDelayFunc: our error carries the delay. Any other is asynq's own (a
// lost lease) or a fault of ours (a panic); then the ledger's lease keeps the upload from being
// sent twice, and it may be asked soon.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	if g, ok := errors.AsType[*retryLater](err); ok {
		return g.Delay
	}
	return time.Second
}
