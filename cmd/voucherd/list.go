package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/ledger"
)

type listCmd struct {
	State   string `help:"Only uploads in this state: queued, sending, waiting, delivered, rejected, expired or discarded." placeholder:"STATE"`
	Order   string `help:"Only uploads of this order." placeholder:"ID"`
	Account string `help:"Only uploads of this account." placeholder:"NAME"`
	Since   string `help:"Only what was created, or has ended, within this time: 24h, 7d." placeholder:"TIME"`
	Limit   int    `help:"Most uploads to list." default:"50" placeholder:"N"`
	JSON    bool   `help:"Print JSON, one upload a line, without attempts." name:"json"`

	kong.Plugins
}

// Run lists uploads, newest first.
func (c *listCmd) Run(ctx context.Context, s *session) error {
	q, err := query(c.State, c.Since)
	if err != nil {
		return err
	}
	if c.Limit < 1 {
		return usagef("--limit: %d is not a number of uploads", c.Limit)
	}
	q.OrderID, q.Account = c.Order, c.Account
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		found, more, err := collect(ctx, st, q, c.Limit)
		if err != nil {
			return err
		}
		if err := c.print(s, found); err != nil {
			return err
		}
		switch {
		case more:
			fmt.Fprintf(s.stderr, "These are the newest %d; there are more (--limit).\n", len(found))
		case len(found) == 0:
			fmt.Fprintln(s.stderr, "No upload matches.")
		}
		return nil
	})
}

func (c *listCmd) print(s *session, found []ledger.Upload) error {
	if c.JSON {
		for _, u := range found {
			if err := printJSON(s.stdout, u); err != nil {
				return err
			}
		}
		return nil
	}
	if len(found) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "UPLOAD\tORDER\tSTATE\tATTEMPTS\tLAST OUTCOME\tCHANGED\tNEXT ATTEMPT\tREQUEST ID")
	for _, u := range found {
		outcome := "-"
		if u.Outcome != "" {
			outcome = outcomeWords(u.Outcome)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.OrderID, u.State, strconv.Itoa(u.AttemptCount), outcome,
			localTime(u.UpdatedAt), dash(localTime(u.NextAttempt)), dash(u.RequestID))
	}
	return t.Flush()
}

// query makes a query of the flags that name many uploads.
func query(state, since string) (ledger.Query, error) {
	q := ledger.Query{State: ledger.State(state)}
	if state != "" && !q.State.Valid() {
		return q, usagef("--state: %q is none; the states are queued, sending, waiting, delivered, rejected, expired, discarded", state)
	}
	if since != "" {
		d, err := config.ParseDuration(since)
		if err != nil {
			return q, usagef("--since: %w", err)
		}
		if d <= 0 {
			return q, usagef("--since: %s is no time back", since)
		}
		q.Since = d
	}
	return q, nil
}

// page is how many uploads are read at a time.
const page = 500

// collect reads at most limit uploads, and says whether there are more.
func collect(ctx context.Context, st *app.Store, q ledger.Query, limit int) (found []ledger.Upload, more bool, err error) {
	for len(found) < limit {
		q.Limit = min(page, limit-len(found))
		var p ledger.Page
		if p, err = st.Tasks.List(ctx, q); err != nil {
			return nil, false, err
		}
		found = append(found, p.Uploads...)
		if q.Cursor = p.Cursor; q.Cursor == "" {
			return found, false, nil
		}
	}
	q.Limit = 1
	p, err := st.Tasks.List(ctx, q)
	return found, len(p.Uploads) > 0, err
}
