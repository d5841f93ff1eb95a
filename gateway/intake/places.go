package intake

import (
	"context"
	"time"

	"github.com/voucherd/voucherd/gateway/problem"
)

// Places bound how much work of one kind is done at once.
type Places chan struct{}

// NewPlaces gives n places.
func NewPlaces(n int) Places { return make(Places, n) }

// Take waits for a place, or gives a problem. The caller calls leave once.
func (p Places) Take(ctx context.Context, wait time.Duration) (leave func(), err error) {
	leave = func() { <-p }
	select {
	case p <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case p <- struct{}{}:
		return leave, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, problem.TooBusy()
}
