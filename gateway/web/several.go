package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
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
	Action tasks.Action
	All    bool
	IDs    []string
	Filter filter
	Rate   float64 // with All: uploads a second; 0: as fast as it goes
	Until  int64   // with All: what came to its place in the list later (ms) is not meant; 0: not known yet
	Who    ledger.Who
}

// rates are what a person may choose from, in uploads a second.
func rates() []string { return []string{"1", "5", "20"} }

// Rates are offered for what sends many at once.
func (s several) Rates() []string {
	if s.All && s.Action == tasks.ActionRetry {
		return rates()
	}
	return nil
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
	s.Who = p.who(r)
	pg := p.newPage(r, "uploads")
	pg.Here, pg.Title = s.Filter.First(), pg.texts["bulk.title"]
	view := &severalView{several: s, Count: int64(len(s.IDs))}
	pg.Body = view
	switch {
	case !s.All && len(s.IDs) == 0:
		pg.Title = pg.texts["bulk.none"]
		return p.render(w, r, http.StatusUnprocessableEntity, "several_ask.html", pg)
	case r.PostForm.Get("confirmed") == "":
		if view.Count, err = p.meant(r, s); err != nil {
			return err
		}
		return p.render(w, r, http.StatusOK, "several_ask.html", pg)
	}
	ctx, cancel := context.WithTimeout(r.Context(), severalTime)
	defer cancel()
	err = p.actAll(ctx, view)
	switch {
	case s.All && (errors.Is(ctx.Err(), context.DeadlineExceeded) || s.Rate > 0 && errors.Is(err, tasks.ErrTooSlow)):
		view.Rest = true // the person goes on with the rest
	case err != nil:
		view.Stopped = true
		p.cfg.Cause(r, err)
	}
	return p.render(w, r, http.StatusOK, "several_done.html", pg)
}

// parseSeveral reads the form: act is "retry", "discard", "retry-all" or "discard-all".
func parseSeveral(r *http.Request) (several, error) {
	f, err := parseFilter(r.PostForm)
	if err != nil {
		return several{}, err
	}
	name, all := strings.CutSuffix(r.PostForm.Get("act"), "-all")
	s := several{Action: tasks.Action(name), All: all, Filter: f}
	switch {
	case !slices.Contains(actions(), s.Action):
		return s, fmt.Errorf("%w: nothing is done under this name", ErrInput)
	case all && !slices.Contains(actionsIn(f.State), s.Action):
		return s, fmt.Errorf("%w: this cannot be done to all in this state", ErrInput)
	case all:
		if until := r.PostForm.Get("until"); until != "" {
			if s.Until, err = strconv.ParseInt(until, 10, 64); err != nil {
				return s, fmt.Errorf("%w: there is no such time", ErrInput)
			}
		}
		return s, s.parseRate(r.PostForm.Get("rate"))
	}
	s.IDs = slices.Compact(slices.Sorted(slices.Values(r.PostForm["id"])))
	if len(s.IDs) > pageSize {
		return s, fmt.Errorf("%w: more ids than a page has", ErrInput)
	}
	return s, nil
}

// parseRate reads one of the rates that are offered; "" is none.
func (s *several) parseRate(text string) error {
	if text == "" {
		return nil
	}
	var err error
	if s.Rate, err = strconv.ParseFloat(text, 64); err != nil || !slices.Contains(s.Rates(), text) {
		return fmt.Errorf("%w: there is no such rate", ErrInput)
	}
	return nil
}

// meant counts the uploads that are meant; -1 if that would mean to read them all.
func (p *Pages) meant(r *http.Request, s several) (int64, error) {
	if !s.All {
		return int64(len(s.IDs)), nil
	}
	if s.Filter.Code != "" {
		return -1, nil
	}
	q, err := s.Filter.query(0)
	if err != nil {
		return 0, err
	}
	counts, err := p.cfg.Store.Count(r.Context(), q)
	return counts[s.Filter.State], err
}

// actAll acts on everything that is meant, oldest first. The error says why it stopped early.
func (p *Pages) actAll(ctx context.Context, v *severalView) error {
	if !v.All {
		return p.actEach(ctx, v, v.IDs)
	}
	v.Cursor = v.Filter.Cursor
	q, err := v.Filter.query(v.atOnce())
	if err != nil {
		return err
	}
	if v.Until == 0 {
		if v.Until, err = p.newest(ctx, q); err != nil {
			return err
		}
	}
	q.OldestFirst = true
	for {
		found, err := p.cfg.Store.List(ctx, q)
		if err != nil {
			return err
		}
		var ids []string
		for _, u := range found.Uploads {
			if place(u) <= v.Until {
				ids = append(ids, u.ID)
			}
		}
		if err := p.actEach(ctx, v, ids); err != nil {
			return err
		}
		if found.Cursor == "" || len(ids) < len(found.Uploads) {
			return nil
		}
		v.Cursor, q.Cursor = found.Cursor, found.Cursor
	}
}

// newest is the place of the newest upload in the state that is meant. What is rejected again after
// the first press has a later one, and is not retried again, however many presses it takes.
func (p *Pages) newest(ctx context.Context, q ledger.Query) (int64, error) {
	q.Code, q.Cursor, q.Limit = "", "", 1 // of whatever code: that is read at once
	found, err := p.cfg.Store.List(ctx, q)
	if err != nil || len(found.Uploads) == 0 {
		return 0, err
	}
	return place(found.Uploads[0]), nil
}

// place is by what a list is ordered, in ms.
func place(u ledger.Upload) int64 {
	if u.State.Final() {
		return u.EndedAt.UnixMilli()
	}
	return u.CreatedAt.UnixMilli()
}

// atOnce is how many are read at once: no more than are done long before the time is over, so that
// who goes on begins with what is left.
func (s several) atOnce() int {
	if s.Rate == 0 {
		return severalPage
	}
	return min(severalPage, max(1, int(s.Rate*severalTime.Seconds()/4)))
}

// actEach acts on these uploads. The error is one that the others would meet too.
func (p *Pages) actEach(ctx context.Context, v *severalView, ids []string) error {
	return p.cfg.Store.ActAll(ctx, tasks.Bulk{Action: v.Action, IDs: ids, AtOnce: severalAtOnce, Rate: v.Rate, Who: v.Who}, v.note)
}

func (v *severalView) note(id string, r tasks.Result) error {
	f := failure{ID: id}
	var state *ledger.StateError
	switch {
	case r.Err == nil:
		v.Done++
		return nil
	case v.All && r.Moved():
		v.Moved++
		return nil
	case errors.As(r.Err, &state):
		f.Why, f.State = "state", string(state.State)
	case errors.Is(r.Err, ledger.ErrNotKept):
		f.Why = "gone"
	case errors.Is(r.Err, ledger.ErrNotFound):
		f.Why = "unknown"
	default:
		return r.Err
	}
	if len(v.Failed) < severalReasons {
		v.Failed = append(v.Failed, f)
	} else {
		v.More++
	}
	return nil
}
