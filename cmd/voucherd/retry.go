package main

import (
	"context"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
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
	d := deed{
		done: "put back to be sent", only: "only queued, waiting, rejected and expired uploads can be retried",
		may: func(state ledger.State) bool {
			return state == ledger.Rejected || state == ledger.Expired || state == ledger.Waiting || state == ledger.Queued
		},
	}
	if c.State != "" && !d.may(ledger.State(c.State)) {
		return usagef("--state: %s uploads cannot be retried; %s", c.State, d.only)
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		d.do = st.Tasks.Retry
		ids, err := c.find(ctx, st, d)
		if err != nil {
			return err
		}
		return c.each(ctx, s, ids, d)
	})
}
