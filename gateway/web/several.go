package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
)

// How much one press of a button does: it ends well before the server cuts the answer off, and what
// is left waits for the next press.
const (
	severalTime    = 8 * time.Second
	severalAtOnce  = 8
	severalPage    = 200
	severalReasons = 20 // are shown
)

// several is something to be done to several uploads: those named, or all that a filter shows.
type several struct {
	Action action
	All    bool
	IDs    []string
	Filter filter
}

// severalView asks whether it is meant, or says what came of it.
type severalView struct {
	several

	Count   int64 // uploads that are meant; -1: not known
	Done    int64
	Moved   int64 // were in another state by then
	Failed  []failure
	More    int64  // failures that are not shown
	Rest    bool   // the time was over before all was done
	Cursor  string // where to go on then
	Stopped bool   // the store did not answer
}

// failure is why one upload was left alone.
type failure struct{ ID, Why, State string }

// several does something to several uploads once it is confirmed; until then it asks.
func (p *Pages) several(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	s, err := parseSeveral(r)
	if err != nil {
		return err
	}
	pg := p.newPage(r, "uploads")
	pg.Here, pg.Title = s.Filter.First(), pg.texts["bulk.title"]
	view := severalView{several: s, Count: int64(len(s.IDs))}
	switch {
	case !s.All && len(s.IDs) == 0:
		pg.Title, pg.Body = pg.texts["bulk.none"], view
		return p.render(w, r, http.StatusUnprocessableEntity, "several_ask.html", pg)
	case r.PostForm.Get("confirmed") == "":
		if view.Count, err = p.meant(r, s); err != nil {
			return err
		}
		pg.Body = view
		return p.render(w, r, http.StatusOK, "several_ask.html", pg)
	}
	ctx, cancel := context.WithTimeout(r.Context(), severalTime)
	defer cancel()
	run := &severalRun{pages: p, several: s, seen: map[string]bool{}}
	err = run.all(ctx)
	if err != nil {
		p.cfg.Cause(r, err)
	}
	view.Done, view.Moved, view.Cursor, view.Rest = run.done, run.moved, run.cursor, run.rest
	view.Stopped = err != nil
	view.More = int64(max(len(run.failed)-severalReasons, 0))
	view.Failed = run.failed[:min(len(run.failed), severalReasons)]
	pg.Body = view
	return p.render(w, r, http.StatusOK, "several_done.html", pg)
}

// parseSeveral reads the form: act is "retry", "discard", "retry-all" or "discard-all".
func parseSeveral(r *http.Request) (several, error) {
	f, err := parseFilter(r.PostForm)
	if err != nil {
		return several{}, err
	}
	name, all := strings.CutSuffix(r.PostForm.Get("act"), "-all")
	s := several{Action: action(name), All: all, Filter: f}
	switch {
	case !s.Action.valid():
		return s, fmt.Errorf("%w: nothing is done under this name", ErrInput)
	case all && !s.Action.allowed(f.State):
		return s, fmt.Errorf("%w: this cannot be done to all in this state", ErrInput)
	case all:
		return s, nil
	}
	s.IDs = slices.Compact(slices.Sorted(slices.Values(r.PostForm["id"])))
	if len(s.IDs) > pageSize {
		return s, fmt.Errorf("%w: more ids than a page has", ErrInput)
	}
	return s, nil
}

// meant counts the uploads that are meant; -1 if that would mean to read them all.
func (p *Pages) meant(r *http.Request, s several) (int64, error) {
	if !s.All {
		return int64(len(s.IDs)), nil
	}
	if s.Filter.Since != "" || s.Filter.Order != "" {
		return -1, nil
	}
	_, counts, err := p.count(r, s.Filter.Account)
	return counts[s.Filter.State], err
}

// severalRun does it, and counts.
type severalRun struct {
	several

	pages  *Pages
	seen   map[string]bool // what was done in this run: an upload that is rejected again at once is not retried again
	cursor string          // of the page that comes next
	rest   bool            // the time was over

	mu          sync.Mutex
	done, moved int64
	failed      []failure
}

// all acts on everything that is meant, oldest first, until its time is over. The error says why it
// stopped early.
func (run *severalRun) all(ctx context.Context) error {
	if !run.All {
		return run.each(ctx, run.IDs)
	}
	run.cursor = run.Filter.Cursor
	q, err := run.Filter.query(severalPage)
	if err != nil {
		return err
	}
	q.OldestFirst = true
	for {
		found, err := run.pages.cfg.Store.List(ctx, q)
		if err != nil {
			return run.unlessLate(ctx, err)
		}
		var ids []string
		for _, u := range found.Uploads {
			if !run.seen[u.ID] {
				run.seen[u.ID] = true
				ids = append(ids, u.ID)
			}
		}
		if err := run.each(ctx, ids); err != nil {
			return run.unlessLate(ctx, err)
		}
		if found.Cursor == "" || len(ids) == 0 {
			return nil
		}
		run.cursor, q.Cursor = found.Cursor, found.Cursor
	}
}

// unlessLate drops an error that comes of the time being over: the person goes on with the rest.
func (run *severalRun) unlessLate(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		run.rest = true
		return nil
	}
	return err
}

// each acts on these uploads. The error is one that the others would meet too.
func (run *severalRun) each(ctx context.Context, ids []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(severalAtOnce)
	for _, id := range ids {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, err := run.pages.do(ctx, run.Action, id)
			return run.note(id, err)
		})
	}
	return group.Wait()
}

func (run *severalRun) note(id string, err error) error {
	run.mu.Lock()
	defer run.mu.Unlock()
	var state *ledger.StateError
	switch {
	case err == nil:
		run.done++
	case run.All && (errors.As(err, &state) || errors.Is(err, ledger.ErrNotFound)):
		run.moved++
	case errors.As(err, &state):
		run.failed = append(run.failed, failure{ID: id, Why: "state", State: string(state.State)})
	case errors.Is(err, ledger.ErrNotKept):
		run.failed = append(run.failed, failure{ID: id, Why: "gone"})
	case errors.Is(err, ledger.ErrNotFound):
		run.failed = append(run.failed, failure{ID: id, Why: "unknown"})
	default:
		return err
	}
	return nil
}
