package demo

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// watcher follows uploads by asking the ledger, as anybody could.
type watcher struct {
	tasks   *tasks.Client
	name    string
	uploads []ledger.Upload // in the order they were handed over
	lane    tasks.LaneStatus
}

// event is something that happened to an upload.
type event struct{ order, what string }

func newWatcher(t *tasks.Client, lane string) *watcher { return &watcher{tasks: t, name: lane} }

// add begins to follow an upload.
func (w *watcher) add(u ledger.Upload) {
	u.State, u.Attempts = "", nil // so that the next look finds everything new
	w.uploads = append(w.uploads, u)
}

// settled says whether every upload has ended.
func (w *watcher) settled() bool {
	for _, u := range w.uploads {
		if !u.State.Final() {
			return false
		}
	}
	return true
}

// look asks for all that has not ended, and tells what is new.
func (w *watcher) look(ctx context.Context) ([]event, error) {
	var events []event
	for i, was := range w.uploads {
		if was.State.Final() {
			continue
		}
		now, err := w.tasks.Get(ctx, was.ID)
		if err != nil {
			return nil, err
		}
		for _, what := range news(was, now) {
			events = append(events, event{order: now.OrderID, what: what})
		}
		w.uploads[i] = now
	}
	lanes, err := w.tasks.Lanes(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range lanes {
		if l.Lane == w.name {
			events = append(events, gateNews(w.lane, l)...)
			w.lane = l
		}
	}
	return events, nil
}

// news compares two looks at an upload. It goes by the attempts, so nothing is missed between two looks.
func news(was, now ledger.Upload) []string {
	var all []string
	if was.State == "" {
		all = append(all, "queued")
	}
	known := map[int]ledger.Verdict{}
	for _, a := range was.Attempts {
		known[a.Number] = cmp.Or(a.Verdict, "under way")
	}
	for _, a := range now.Attempts {
		if known[a.Number] == "" {
			all = append(all, fmt.Sprintf("attempt %d: sending", a.Number))
		}
		if a.Verdict != "" && known[a.Number] != a.Verdict {
			all = append(all, fmt.Sprintf("attempt %d: %s", a.Number, answer(a)))
		}
	}
	switch {
	case now.State == was.State:
	case now.State == ledger.Delivered:
		all = append(all, "delivered, requestId "+now.RequestID)
	case now.State.Final():
		all = append(all, string(now.State))
	case now.State == ledger.Waiting:
		all = append(all, "waiting for the next attempt")
	}
	return all
}

// answer says what an attempt came to.
func answer(a ledger.Attempt) string {
	status := ""
	if a.HTTPStatus != 0 {
		status = fmt.Sprintf(" (HTTP %d)", a.HTTPStatus)
	}
	switch a.Verdict {
	case ledger.VerdictUnavailable:
		return "the API is away" + status
	case ledger.VerdictUnclear:
		return "no readable answer, it may have arrived"
	case ledger.VerdictDelivered:
		return "accepted" + status
	case ledger.VerdictThrottled, ledger.VerdictRefused, ledger.VerdictInterrupted, ledger.VerdictInvalid:
	}
	return string(a.Verdict) + status
}

// gateNews tells when a lane's gate opens or shuts.
func gateNews(was, now tasks.LaneStatus) []event {
	switch {
	case was.Lane == "" || was.Reason == now.Reason:
		return nil
	case now.Open:
		return []event{{what: "the gate opens"}}
	default:
		return []event{{what: "the gate shuts (" + now.Reason + "): from now on one probe at a time asks whether the API is back"}}
	}
}

// gateLine says how a lane stands, for the live view.
func gateLine(l tasks.LaneStatus) string {
	switch {
	case l.Lane == "":
		return "gate: -"
	case l.Open:
		return fmt.Sprintf("gate: open      backlog: %d", l.Backlog)
	case l.Probing:
		return fmt.Sprintf("gate: shut (%s), a probe is asking      backlog: %d", l.Reason, l.Backlog)
	default:
		in := max(0, time.Until(l.NextProbeAt.Time)).Round(100 * time.Millisecond)
		return fmt.Sprintf("gate: shut (%s), next probe in %s      backlog: %d", l.Reason, in, l.Backlog)
	}
}
