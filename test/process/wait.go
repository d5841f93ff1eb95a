package process

import (
	"context"
	"fmt"
	"time"
)

// Sleep waits, and says whether it could to the end.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Until asks every so often whether something is so, and fails when it is not in time.
func Until(ctx context.Context, limit time.Duration, what string, so func() bool) error {
	const every = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !so() {
		if !Sleep(ctx, every) {
			return fmt.Errorf("waited %v until %s: %w", limit, what, context.Cause(ctx))
		}
	}
	return nil
}
