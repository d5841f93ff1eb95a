package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

type accountsCmd struct {
	JSON bool `help:"Print JSON, one account a line." name:"json"`

	kong.Plugins
}

// Run shows how every account stands.
func (c *accountsCmd) Run(ctx context.Context, s *session) error {
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		accounts, err := st.Tasks.Accounts(ctx)
		if err != nil {
			return err
		}
		if len(accounts) == 0 {
			fmt.Fprintln(s.stderr, "There is no account yet: none had an upload or a worker.")
		}
		for i, l := range accounts {
			if c.JSON {
				if err := printJSON(s.stdout, l); err != nil {
					return err
				}
				continue
			}
			if i > 0 {
				fmt.Fprintln(s.stdout)
			}
			if err := printAccount(s.stdout, l); err != nil {
				return err
			}
		}
		return nil
	})
}

func printAccount(w io.Writer, l tasks.AccountStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	row("account", l.Account)
	row("breaker", breakerWords(l))
	if l.Paused {
		row("paused", "yes, in asynq: nothing is fetched until it is resumed")
	}
	if a := l.LastAnswer; a != nil {
		said := outcomeWords(a.Outcome)
		if a.HTTPStatus != 0 {
			said += fmt.Sprintf(", HTTP %d", a.HTTPStatus)
		}
		row("last answer", localTime(a.At)+"  "+said+note(a.Code, ", code ")+note(a.Msg, ", saying: "))
	}
	backlog := plural(int(l.Backlog), "upload", "uploads")
	if l.OldestAgeMS > 0 {
		backlog += ", the oldest is " + (time.Duration(l.OldestAgeMS) * time.Millisecond).Round(time.Second).String() + " old"
	}
	row("backlog", backlog)
	var counts []string
	for _, state := range ledger.States() {
		if n := l.Uploads[state]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(counts) > 0 {
		row("uploads", strings.Join(counts, ", "))
	}
	return t.Flush()
}

// breakerWords says whether an account's breaker lets attempts pass, and if not, why and until
// when.
func breakerWords(l tasks.AccountStatus) string {
	if l.Breaker == tasks.BreakerClosed {
		return "closed"
	}
	why, known := map[string]string{
		"outage":      "the API is away",
		"throttled":   "the API asked to wait",
		"credentials": "the API refuses the account: check access key, secret and user id",
		"endpoint":    "the API does not know the upload path: check PANDAPON_UPLOAD_PATH",
		"refusing":    "the API refuses everything alike",
		"store":       "the blob store is away",
	}[l.Reason]
	if !known {
		why = l.Reason
	}
	next := "a probe is under way"
	if l.Breaker == tasks.BreakerOpen {
		next = "next probe at " + localTime(l.NextProbeAt)
	}
	return fmt.Sprintf("%s since %s (%s): %s; %s", l.Breaker, localTime(l.Since), l.Reason, why, next)
}
