package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
)

type showCmd struct {
	Key  string `arg:"" help:"Upload id, order id, reference, the request id of any attempt, or the beginning or end of an order id (6 characters and more)."`
	JSON bool   `help:"Print JSON, one upload a line." name:"json"`

	kong.Plugins
}

// Run shows every upload that the key names.
func (c *showCmd) Run(ctx context.Context, s *session) error {
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		found, err := st.Tasks.Search(ctx, c.Key)
		if err != nil {
			return err
		}
		for i, f := range found {
			u, err := st.Tasks.Status(ctx, f)
			if err != nil {
				return err
			}
			if c.JSON {
				if err := printJSON(s.stdout, u); err != nil {
					return err
				}
				continue
			}
			if i > 0 {
				fmt.Fprintln(s.stdout)
			}
			if err := printUpload(s.screen(), u.Upload, u.WaitsFor(localTime)); err != nil {
				return err
			}
		}
		return nil
	})
}
