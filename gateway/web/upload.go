package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// uploadView is one upload's page.
type uploadView struct {
	ledger.Upload

	Events  []event              // newest first
	Trimmed int                  // attempts that are no longer kept
	Picture string               // "image", "pdf", "other"; "gone" if not kept, "secret" for whoever may not see it
	Allowed []tasks.Action       // what may be done to it
	NotKept bool                 // it could be retried if its voucher were kept
	Breaker *tasks.AccountStatus // how its account stands, if that is in its way
	Queue   string
	Task    string // its task's id in the queue; "": there is none
}

// event is one entry of an upload's timeline: an attempt, or what a person did.
type event struct {
	Attempt *ledger.Attempt
	Action  *ledger.Action
}

// at is when it began.
func (e event) at() ledger.Time {
	if e.Attempt != nil {
		return e.Attempt.StartedAt
	}
	return e.Action.At
}

// eventsOf gives an upload's timeline, newest first.
func eventsOf(u ledger.Upload) (events []event) {
	for i := range u.Attempts {
		events = append(events, event{Attempt: &u.Attempts[i]})
	}
	for i := range u.Actions {
		events = append(events, event{Action: &u.Actions[i]})
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at().Compare(b.at().Time) })
	slices.Reverse(events)
	return events
}

func (p *Pages) upload(w http.ResponseWriter, r *http.Request) error {
	u, err := p.cfg.Store.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	p.cfg.Note(r, u)
	pg := p.newPage(r, "uploads")
	if pg.Title, err = pg.T("upload.title", u.OrderID); err != nil {
		return err
	}
	if a := tasks.Action(r.URL.Query().Get("done")); slices.Contains(actions(), a) {
		pg.Notice = pg.texts["act.done."+string(a)]
		pg.Here = r.URL.Path
	}
	if !u.State.Final() {
		pg.Live = uploadEvery
	}
	view := newUploadView(u, pg.Viewer)
	if !u.State.Final() || slices.Contains(view.Allowed, tasks.ActionRetry) {
		if view.Breaker, err = p.inTheWay(r.Context(), u.Account); err != nil {
			return err
		}
	}
	pg.Body = view
	return p.render(w, r, http.StatusOK, "upload.html", pg)
}

// inTheWay gives an account if something is in the way of its uploads.
func (p *Pages) inTheWay(ctx context.Context, account string) (*tasks.AccountStatus, error) {
	l, err := p.cfg.Store.Standing(ctx, account)
	if err != nil || len(l.Obstacles()) == 0 {
		return nil, err
	}
	return &l, nil
}

func newUploadView(u ledger.Upload, who Viewer) uploadView {
	v := uploadView{
		Upload: u, Events: eventsOf(u), Trimmed: max(u.AttemptCount-len(u.Attempts), 0),
		Picture: pictureOf(u, who), Queue: ledger.Queue(u.Account),
	}
	if !u.State.Final() && u.Generation > 0 {
		v.Task = ledger.TaskID(u.ID, u.Generation)
	}
	if who.Operator {
		v.Allowed = actionsIn(u.State)
	}
	if i := slices.Index(v.Allowed, tasks.ActionRetry); i >= 0 && !u.Kept() {
		v.Allowed, v.NotKept = slices.Delete(v.Allowed, i, i+1), true
	}
	return v
}

// pictureOf says how a voucher can be shown.
func pictureOf(u ledger.Upload, who Viewer) string {
	switch {
	case !u.Kept():
		return "gone"
	case !who.Operator:
		return "secret"
	case u.MediaType == "application/pdf":
		return "pdf"
	case slices.Contains([]string{"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"}, u.MediaType):
		return "image"
	default:
		return "other"
	}
}

// Kind is the voucher's kind, short.
func (v uploadView) Kind() string {
	_, kind, _ := strings.Cut(v.MediaType, "/")
	return strings.ToUpper(kind)
}

// Attempts64 is the number of all attempts.
func (v uploadView) Attempts64() int64 { return int64(v.AttemptCount) }
