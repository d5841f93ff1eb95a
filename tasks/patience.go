package tasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// The pause between two tries doubles.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 500 * time.Millisecond
)

// Patiently calls do, and calls it again while Redis cannot be reached or too few of its replicas
// follow, for Config.Patience from the first such failure. The end of the context ends it at once;
// the error is then the context's and the last failure.
func (c *Client) Patiently(ctx context.Context, do func() error) error {
	var failed time.Time
	var last error
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := c.explain(do())
		_, behind := errors.AsType[*ledger.ReplicasError](err)
		switch {
		case last != nil && errors.Is(err, errReadOnce):
			return last
		case last != nil && err != nil && ctx.Err() != nil:
			return interrupted(ctx, last)
		case !behind && !isUnreachable(err):
			return err
		case last == nil:
			failed = time.Now()
		}
		last = err
		if time.Since(failed)+pause > c.cfg.Patience {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return interrupted(ctx, last)
		}
	}
}

func interrupted(ctx context.Context, last error) error { return fmt.Errorf("%w: %w", ctx.Err(), last) }
