package main

import (
	"context"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/ledger"
)

type retryCmd struct {
	selection

	kong.Plugins
}

// Run sends uploads again.
func (c *retryCmd) Run(ctx context.Context, s *session) error {
	if err := c.check(); err != nil {
		return err
	}
	may := func(state ledger.State) bool {
		return state == ledger.Rejected || state == ledger.Expired || state == ledger.Waiting
	}
	if c.State != "" && !may(ledger.State(c.State)) {
		return usagef("--state: %s uploads cannot be retried; rejected, expired and waiting ones can", c.State)
	}
	return s.withStore(ctx, func(ctx context.Context, st *store) error {
		ids, err := c.find(ctx, st, may)
		if err != nil {
			return err
		}
		return c.each(ctx, s, ids, deed{
			done: "put back to be sent", only: "rejected, expired and waiting uploads can be retried", do: st.tasks.Retry,
		})
	})
}
