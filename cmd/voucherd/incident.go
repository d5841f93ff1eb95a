package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/incident"
)

type incidentCmd struct {
	Since   string `help:"How far to look back: 2h, 7d." default:"2h" placeholder:"TIME"`
	Account string `help:"Only uploads of this account." placeholder:"NAME"`
	Lang    string `help:"Language of the text: en or zh." enum:"en,zh" default:"en" placeholder:"LANG"`
	JSON    bool   `help:"Print JSON." name:"json"`

	kong.Plugins
}

// Run prints what went wrong, as a text for PandaPon's support.
func (c *incidentCmd) Run(ctx context.Context, s *session) error {
	since, err := config.ParseDuration(c.Since)
	if err != nil {
		return usagef("--since: %w", err)
	}
	if since <= 0 {
		return usagef("--since: %s is no time back", c.Since)
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		r, err := incident.Collect(ctx, st.Tasks, incident.Query{Account: c.Account, Since: since, Now: time.Now()})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.stdout, r)
		}
		_, err = fmt.Fprint(s.stdout, r.Text(c.Lang))
		return err
	})
}
