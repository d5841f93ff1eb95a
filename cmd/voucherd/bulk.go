package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
)

// selection names uploads to act on: by keys, or by state and time.
type selection struct {
	Keys    []string `arg:"" optional:"" name:"key" help:"Upload ids, order ids or request ids."`
	State   string   `help:"Instead of keys: every upload in this state." placeholder:"STATE"`
	Since   string   `help:"With --state: only what was created, or has ended, within this time: 24h, 7d." placeholder:"TIME"`
	Account string   `help:"Only uploads of this account." placeholder:"NAME"`
	JSON    bool     `help:"Print JSON, one upload a line." name:"json"`
}

// check refuses what names nothing, or two things at once.
func (c *selection) check() error {
	switch {
	case len(c.Keys) == 0 && c.State == "":
		return usagef("name uploads by their keys, or all in one state with --state")
	case len(c.Keys) > 0 && (c.State != "" || c.Since != ""):
		return usagef("keys and --state or --since exclude each other: use one of them")
	}
	_, err := query(c.State, c.Since)
	return err
}

// deed is something done to uploads one by one.
type deed struct {
	done string // "discarded"
	only string // which uploads it can be done to, for a complaint
	may  func(ledger.State) bool
	do   func(context.Context, string) (ledger.Upload, error)
}

// find gives the ids to act on, oldest first. They are read before anything is done: what is acted on moves within the
// list. A key that names several uploads stands for those that may be acted on.
func (c *selection) find(ctx context.Context, st *app.Store, d deed) ([]string, error) {
	var uploads []ledger.Upload
	if c.State != "" {
		q, err := query(c.State, c.Since)
		if err != nil {
			return nil, err
		}
		q.Account, q.OldestFirst = c.Account, true
		if uploads, _, err = collect(ctx, st, q, 0); err != nil {
			return nil, err
		}
	}
	for _, key := range c.Keys {
		found, err := st.Tasks.Find(ctx, key)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(u ledger.Upload) bool { return c.Account != "" && u.Account != c.Account })
		fit := slices.DeleteFunc(slices.Clone(found), func(u ledger.Upload) bool { return !d.may(u.State) })
		switch {
		case len(fit) > 0:
		case len(found) == 0:
			return nil, fmt.Errorf("%q in account %s: %w", key, c.Account, ledger.ErrNotFound)
		case len(found) == 1:
			return nil, fmt.Errorf("%s is %s; %s", found[0].ID, found[0].State, d.only)
		default:
			return nil, fmt.Errorf("none of the %d uploads of %s fits; %s", len(found), key, d.only)
		}
		slices.Reverse(fit)
		uploads = append(uploads, fit...)
	}
	ids, seen := []string{}, map[string]bool{}
	for _, u := range uploads {
		if !seen[u.ID] {
			seen[u.ID] = true
			ids = append(ids, u.ID)
		}
	}
	return ids, nil
}

// explain says in a sentence why an upload was left alone.
func (d deed) explain(id string, err error) string {
	if state, ok := errors.AsType[*ledger.StateError](err); ok {
		return fmt.Sprintf("%s is %s; %s", id, state.State, d.only)
	}
	return fmt.Sprintf("%s: %v", id, err)
}

// each does it to all, reports what could not be done, and goes on.
func (c *selection) each(ctx context.Context, s *session, ids []string, d deed) error {
	progress := newBar(s.stderr, len(ids))
	done, moved, failed := 0, 0, 0
	for _, id := range ids {
		u, err := d.do(ctx, id)
		var state *ledger.StateError
		switch {
		case err == nil:
			done++
		case errors.Is(err, context.Canceled):
			progress.close()
			fmt.Fprintf(s.stderr, "Stopped: %d of %d uploads were %s.\n", done, len(ids), d.done)
			return silent(exitInterrupted)
		case c.State != "" && (errors.As(err, &state) || errors.Is(err, ledger.ErrNotFound)):
			moved++ // a worker was quicker
		default:
			failed++
			progress.clear()
			fmt.Fprintln(s.stderr, "voucherd:", d.explain(id, err))
		}
		if err == nil && c.JSON {
			if err := printJSON(s.stdout, u); err != nil {
				return err
			}
		}
		progress.add()
	}
	progress.close()
	c.sum(s.stderr, d.done, done, moved, failed)
	switch {
	case ctx.Err() != nil:
		return silent(exitInterrupted)
	case failed > 0:
		return silent(exitFailed)
	}
	return nil
}

func (c *selection) sum(w io.Writer, what string, done, moved, failed int) {
	fmt.Fprintf(w, "%s %s.", plural(done, "upload was", "uploads were"), what)
	if moved > 0 {
		fmt.Fprintf(w, " %s moved on meanwhile.", plural(moved, "upload had", "uploads had"))
	}
	if failed > 0 {
		fmt.Fprintf(w, " %s not.", plural(failed, "upload could", "uploads could"))
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
