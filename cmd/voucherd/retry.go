package main

import (
	"context"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

type retryCmd struct {
	selection

	Rate string `help:"Retry so many a second, minute or hour: 5/s, 100/m, 1000/h." placeholder:"RATE" variable:"VOUCHERD_RETRY_RATE"`

	kong.Plugins
}

// Run sends uploads again.
func (c *retryCmd) Run(ctx context.Context, s *session) error {
	if err := c.check(); err != nil {
		return err
	}
	rate, err := parseRate(c.Rate)
	if err != nil {
		return err
	}
	const action = tasks.ActionRetry
	if c.State != "" && !action.Allowed(ledger.State(c.State)) {
		return usagef("--state: %s uploads cannot be retried; %s", c.State, action.Requirement())
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		ids, err := c.find(ctx, st, action)
		if err != nil {
			return err
		}
		if c.DryRun {
			return c.dry(s, ids, "put back to be sent")
		}
		return c.each(ctx, s, st, tasks.Bulk{Action: action, IDs: ids, Rate: rate}, "put back to be sent")
	})
}
