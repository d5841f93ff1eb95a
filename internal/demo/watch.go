package demo

import (
	"cmp"
	"context"
	"fmt"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// watcher follows uploads by asking the ledger, as anybody could.
type watcher struct {
	tasks   *tasks.Client
	name    string
	uploads []ledger.Upload // in the order they were enqueued
	account tasks.AccountStatus
}

// event is something that happened to an upload.
type event struct{ order, what string }

func newWatcher(t *tasks.Client, account string) *watcher { return &watcher{tasks: t, name: account} }

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
	accounts, err := w.tasks.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range accounts {
		if l.Account == w.name {
			events = append(events, breakerNews(w.account, l)...)
			w.account = l
		}
	}
	return events, nil
}

// news compares two looks at an upload. It goes by the attempts, so nothing is missed between two
// looks.
func news(was, now ledger.Upload) []string {
	var all []string
	if was.State == "" {
		all = append(all, "queued")
	}
	known := map[int]ledger.Outcome{}
	for _, a := range was.Attempts {
		known[a.Number] = cmp.Or(a.Outcome, "under way")
	}
	for _, a := range now.Attempts {
		if known[a.Number] == "" {
			all = append(all, fmt.Sprintf("attempt %d: sending", a.Number))
		}
		if a.Outcome != "" && known[a.Number] != a.Outcome {
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
	switch a.Outcome {
	case ledger.OutcomeUnavailable:
		return "the API is away" + status
	case ledger.OutcomeUnclear:
		return "no readable answer, it may have arrived"
	case ledger.OutcomeDelivered:
		return "accepted" + status
	case ledger.OutcomeThrottled, ledger.OutcomeRefused, ledger.OutcomeInterrupted, ledger.OutcomeInvalid:
	}
	return string(a.Outcome) + status
}

// breakerNews tells when an account's breaker opens or closes.
func breakerNews(was, now tasks.AccountStatus) []event {
	switch {
	case was.Account == "" || was.Reason == now.Reason:
		return nil
	case now.Breaker == tasks.BreakerClosed:
		return []event{{what: "the breaker closes"}}
	default:
		return []event{{what: "the breaker opens (" + now.Reason + "): from now on one probe at a time asks whether the API is back"}}
	}
}
