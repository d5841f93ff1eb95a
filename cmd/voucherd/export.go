package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"strconv"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
)

type exportCmd struct {
	Format  string `help:"ndjson: one upload a line, with its attempts and what people did to it; csv: one upload a row, without attempts." enum:"ndjson,csv" default:"ndjson" placeholder:"FORMAT"`
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
	q.Account, q.OldestFirst, q.Full, q.Limit = c.Account, true, true, exportPage
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		out := bufio.NewWriter(s.stdout)
		if c.Format == "csv" {
			rows := csv.NewWriter(out)
			if err := rows.Write(exportHeader()); err != nil {
				return err
			}
			err := eachPage(ctx, st, q, func(u ledger.Upload) error { return writeRow(rows, u) })
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

// exportPage is how many uploads are read at a time: each may have 100 attempts.
const exportPage = 100

// eachPage reads all uploads of a query, and keeps no more than a page of them.
func eachPage(ctx context.Context, st *app.Store, q ledger.Query, write func(ledger.Upload) error) error {
	for {
		p, err := st.Tasks.List(ctx, q)
		if err != nil {
			return err
		}
		for _, u := range p.Uploads {
			if err := write(u); err != nil {
				return err
			}
		}
		if q.Cursor = p.Cursor; q.Cursor == "" {
			return nil
		}
	}
}

func exportHeader() []string {
	return []string{
		"id", "account", "orderId", "userId", "reference", "state", "outcome", "attemptCount", "refusals", "requestId", "code", "msg",
		"sha256", "size", "mediaType", "createdAt", "updatedAt", "nextAttemptAt", "expiresAt", "deliveredAt", "actions",
	}
}

// writeRow writes one upload; what people did to it stands in one field, as JSON.
func writeRow(rows *csv.Writer, u ledger.Upload) error {
	actions := ""
	if len(u.Actions) > 0 {
		text, err := json.Marshal(u.Actions)
		if err != nil {
			return err
		}
		actions = string(text)
	}
	at := func(t ledger.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.String()
	}
	return rows.Write([]string{
		u.ID, u.Account, u.OrderID, u.UserID, u.Reference, string(u.State), string(u.Outcome), strconv.Itoa(u.AttemptCount),
		strconv.Itoa(u.Refusals), u.RequestID, u.Code, u.Msg, u.SHA256, strconv.FormatInt(u.Size, 10), u.MediaType,
		at(u.CreatedAt), at(u.UpdatedAt), at(u.NextAttempt), at(u.ExpiresAt), at(u.DeliveredAt), actions,
	})
}
