package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"strconv"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
)

type exportCmd struct {
	Format  string `help:"ndjson: one upload with its attempts a line; csv: one upload a row, without attempts." enum:"ndjson,csv" default:"ndjson" placeholder:"FORMAT"`
	Account string `help:"Only uploads of this account." placeholder:"NAME"`
	State   string `help:"Only uploads in this state." placeholder:"STATE"`
	Since   string `help:"Only what was created, or has ended, within this time: 24h, 7d." placeholder:"TIME"`

	kong.Plugins
}

// Help says what a reader of the file should know.
func (exportCmd) Help() string {
	return "An upload that moves on while the export runs may stand in it twice; the later one counts."
}

// Run writes the ledger to standard output, page by page.
func (c *exportCmd) Run(ctx context.Context, s *session) error {
	q, err := query(c.State, c.Since)
	if err != nil {
		return err
	}
	q.Account, q.OldestFirst, q.Limit = c.Account, true, page
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		out := bufio.NewWriter(s.stdout)
		if c.Format == "csv" {
			rows := csv.NewWriter(out)
			if err := rows.Write(exportHeader()); err != nil {
				return err
			}
			err := eachPage(ctx, st, q, func(u ledger.Upload) error { return rows.Write(exportRow(u)) })
			if rows.Flush(); err == nil {
				err = out.Flush()
			}
			return err
		}
		err := eachPage(ctx, st, q, func(u ledger.Upload) error { return printJSON(out, u) })
		if err == nil {
			err = out.Flush()
		}
		return err
	})
}

// eachPage reads all uploads of a query with their attempts, and keeps no more than a page of them.
func eachPage(ctx context.Context, st *app.Store, q ledger.Query, write func(ledger.Upload) error) error {
	for {
		p, err := st.Tasks.List(ctx, q)
		if err != nil {
			return err
		}
		uploads, err := withAttempts(ctx, st, p.Uploads)
		if err != nil {
			return err
		}
		for _, u := range uploads {
			if err := write(u); err != nil {
				return err
			}
		}
		if q.Cursor = p.Cursor; q.Cursor == "" {
			return nil
		}
	}
}

// readers is how many uploads are read at a time.
const readers = 16

// withAttempts reads uploads again with their attempts, in their order. Those that are gone
// meanwhile are left out.
func withAttempts(ctx context.Context, st *app.Store, listed []ledger.Upload) ([]ledger.Upload, error) {
	full := make([]ledger.Upload, len(listed))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, u := range listed {
		g.Go(func() (err error) {
			full[i], err = st.Tasks.Get(ctx, u.ID)
			if errors.Is(err, ledger.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	kept := full[:0]
	for _, u := range full {
		if u.ID != "" {
			kept = append(kept, u)
		}
	}
	return kept, nil
}

func exportHeader() []string {
	return []string{
		"id", "account", "orderId", "userId", "reference", "state", "outcome", "attemptCount", "refusals", "requestId", "code", "msg",
		"sha256", "size", "mediaType", "createdAt", "updatedAt", "nextAttemptAt", "expiresAt", "deliveredAt",
	}
}

func exportRow(u ledger.Upload) []string {
	at := func(t ledger.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.String()
	}
	return []string{
		u.ID, u.Account, u.OrderID, u.UserID, u.Reference, string(u.State), string(u.Outcome), strconv.Itoa(u.AttemptCount),
		strconv.Itoa(u.Refusals), u.RequestID, u.Code, u.Msg, u.SHA256, strconv.FormatInt(u.Size, 10), u.MediaType,
		at(u.CreatedAt), at(u.UpdatedAt), at(u.NextAttempt), at(u.ExpiresAt), at(u.DeliveredAt),
	}
}
