package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/tasks"
)

// selection names uploads to act on: by keys, or by state, code and time.
type selection struct {
	Keys    []string `arg:"" optional:"" name:"key" help:"Upload ids, order ids or request ids."`
	State   string   `help:"Instead of keys: every upload in this state." placeholder:"STATE"`
	Code    string   `help:"With --state: only those whose last answer had this code of PandaPon's." placeholder:"CODE"`
	Since   string   `help:"With --state: only what was created, or has ended, within this time: 24h, 7d." placeholder:"TIME"`
	Account string   `help:"Only uploads of this account." placeholder:"NAME"`
	Reason  string   `help:"Why; kept in the records, with your name." placeholder:"TEXT"`
	DryRun  bool     `help:"Only print the ids of the uploads that are meant."`
	Result  string   `help:"Write what became of each upload to this file, as CSV: id, result, error." placeholder:"FILE.csv"`
	JSON    bool     `help:"Print JSON, one upload a line." name:"json"`
}

// check refuses what names nothing, or two things at once.
func (c *selection) check() error {
	switch {
	case len(c.Keys) == 0 && c.State == "":
		return usagef("name uploads by their keys, or all in one state with --state")
	case len(c.Keys) > 0 && (c.State != "" || c.Code != "" || c.Since != ""):
		return usagef("keys and --state, --code or --since exclude each other: use one of them")
	}
	_, err := query(c.State, c.Since)
	return err
}

// find gives the ids to act on, oldest first.
func (c *selection) find(ctx context.Context, st *app.Store, a tasks.Action) ([]string, error) {
	s := tasks.Selection{Keys: c.Keys, Account: c.Account}
	if c.State != "" {
		q, err := query(c.State, c.Since)
		if err != nil {
			return nil, err
		}
		q.Code = c.Code
		s.Query = &q
	}
	return st.Tasks.Select(ctx, a, s)
}

// tally counts what became of the uploads that were acted on.
type tally struct {
	what                string // "discarded"
	done, moved, failed int
}

// dry prints the ids that are meant.
func (c *selection) dry(s *session, ids []string, what string) error {
	for _, id := range ids {
		if !c.JSON {
			fmt.Fprintln(s.stdout, id)
		} else if err := printJSON(s.stdout, map[string]string{"id": id}); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.stderr, "%s be %s (--dry-run).\n", plural(len(ids), "upload would", "uploads would"), what)
	return nil
}

// each acts on all, reports what could not be done, and goes on. What says what was done:
// "discarded".
func (c *selection) each(ctx context.Context, s *session, st *app.Store, b tasks.Bulk, what string) error {
	results, err := openResults(c.Result, "id", "result", "error")
	if err != nil {
		return err
	}
	b.Who = s.who(c.Reason)
	progress, t := newBar(s.stderr, len(b.IDs)), tally{what: what}
	err = st.Tasks.ActAll(ctx, b, func(id string, r tasks.Result) error {
		defer progress.add()
		noted := results.add(id, what, b.Action, r.Err)
		switch {
		case r.Err == nil:
			t.done++
			if c.JSON {
				noted = errors.Join(noted, printJSON(s.stdout, r.Upload))
			}
		case c.State != "" && r.Moved():
			t.moved++ // a worker was quicker
		default:
			t.failed++
			progress.clear()
			fmt.Fprintln(s.stderr, "voucherd:", b.Action.Explain(id, r.Err))
		}
		return noted
	})
	progress.close()
	err = errors.Join(err, results.close())
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(s.stderr, "Stopped: %d of %d uploads were %s.\n", t.done, len(b.IDs), what)
		return silent(exitInterrupted)
	case err != nil:
		return err
	}
	t.print(s.stderr)
	if t.failed > 0 {
		return silent(exitFailed)
	}
	return nil
}

func (t tally) print(w io.Writer) {
	fmt.Fprintf(w, "%s %s.", plural(t.done, "upload was", "uploads were"), t.what)
	if t.moved > 0 {
		fmt.Fprintf(w, " %s moved on meanwhile.", plural(t.moved, "upload had", "uploads had"))
	}
	if t.failed > 0 {
		fmt.Fprintf(w, " %s not.", plural(t.failed, "upload could", "uploads could"))
	}
	fmt.Fprintln(w)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct{ *progressbar.ProgressBar }

// barFrom is the number of steps from which a bar is worth its line; barEvery spares the terminal.
const (
	barFrom  = 10
	barEvery = 65 * time.Millisecond
)

func newBar(to io.Writer, steps int) bar {
	if !isTerminal(to) || steps < barFrom {
		return bar{}
	}
	return bar{progressbar.NewOptions(steps, progressbar.OptionSetWriter(to), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(barEvery))}
}

func (b bar) add() {
	if b.ProgressBar != nil {
		_ = b.Add(1) // a bar that cannot be drawn is no reason to stop
	}
}

// clear makes room for a line of text; the next add draws the bar again.
func (b bar) clear() {
	if b.ProgressBar != nil {
		_ = b.Clear()
	}
}

func (b bar) close() {
	if b.ProgressBar != nil {
		_ = b.Finish()
	}
}
