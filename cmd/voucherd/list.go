package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/ledger"
)

type listCmd struct {
	State   string `help:"Only uploads in this state: queued, sending, waiting, delivered, rejected, expired or discarded." placeholder:"STATE"`
	Order   string `help:"Only uploads of this order." placeholder:"ID"`
	Search  string `help:"Only what has this id, order id, reference or request id, or an order id that begins or ends so (6 characters and more)." placeholder:"TEXT"`
	Account string `help:"Only uploads of this account." placeholder:"NAME"`
	Since   string `help:"Only what was created, or has ended, within this time: 24h, 7d." placeholder:"TIME"`
	Limit   int    `help:"Most uploads to list." default:"50" placeholder:"N"`
	JSON    bool   `help:"Print JSON, one upload a line, without attempts." name:"json"`
	Watch   bool   `help:"Show the list again every two seconds, until Ctrl-C; as many uploads as the terminal has room for."`

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
	q.OrderID, q.Search, q.Account = c.Order, c.Search, c.Account
	if c.Watch {
		return c.watch(ctx, s, q)
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		found, more, err := collect(ctx, st, q, c.Limit)
		if err != nil {
			return err
		}
		if err := c.print(s.screen(), found); err != nil {
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

// watchEvery is how often a list that is watched is read again.
const watchEvery = 2 * time.Second

// watch shows the list again and again, until the context ends.
func (c *listCmd) watch(ctx context.Context, s *session, q ledger.Query) error {
	if to := s.screen(); c.JSON || to.height == 0 {
		return usagef("--watch is for people at a terminal, without --json; a program finds what has ended by `voucherd list --since`")
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			to := s.screen() // it may have changed its size
			var page bytes.Buffer
			err := c.frame(ctx, st, q, to, &page)
			if ctx.Err() != nil {
				return nil // whoever watches ends it so
			}
			if err != nil {
				return err
			}
			if _, err := page.WriteTo(to); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// frame draws one look of a list that is watched. The lines around the table need four rows.
func (c *listCmd) frame(ctx context.Context, st *app.Store, q ledger.Query, to screen, page *bytes.Buffer) error {
	const around, home, wipe = 4, "\x1b[H", "\x1b[J"
	found, more, err := collect(ctx, st, q, min(c.Limit, max(1, to.height-around)))
	if err != nil {
		return err
	}
	to.Writer = page
	fmt.Fprintf(page, "%s%s%s  voucherd list, every %s; Ctrl-C ends it\n", home, wipe, localTime(ledger.Time{Time: time.Now()}), watchEvery)
	if len(found) == 0 {
		fmt.Fprintln(page, "No upload matches.")
	}
	if err = c.print(to, found); err != nil || !more {
		return err
	}
	_, err = fmt.Fprintln(page, "There are more.")
	return err
}

func (c *listCmd) print(to screen, found []ledger.Upload) error {
	if c.JSON {
		for _, u := range found {
			if err := printJSON(to, u); err != nil {
				return err
			}
		}
		return nil
	}
	if len(found) == 0 {
		return nil
	}
	t := table{columns: []column{
		{title: "UPLOAD"},
		{title: "ORDER"},
		{title: "STATE", state: true},
		{title: "ATTEMPTS", leave: 5},
		{title: "LAST OUTCOME", leave: 3, text: true},
		{title: timed("CHANGED"), leave: 4},
		{title: timed("NEXT ATTEMPT"), leave: 2},
		{title: "REQUEST ID", leave: 1},
	}}
	for _, u := range found {
		outcome := "-"
		if u.Outcome != "" {
			outcome = outcomeWords(u.Outcome)
		}
		t.add(u.ID, u.OrderID, string(u.State), strconv.Itoa(u.AttemptCount), outcome, tableTime(u.UpdatedAt),
			tableTime(u.NextAttempt), dash(u.RequestID))
	}
	return t.print(to)
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
	return found, len(p.Uploads) > 0 || p.Cursor != "", err
}
