// Package api is voucherd's own HTTP API, all below /v1/, and its description at /openapi.json. Who
// may call what, and how a handler's error is answered, is the gateway's part.
package api

import (
	"net/http"
	"time"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// Config is what an API is made of. All of it is required.
type Config struct {
	Tasks  *tasks.Client
	Intake *intake.Intake

	WriteTime time.Duration                      // for each piece of a voucher that is read
	Note      func(*http.Request, ledger.Upload) // puts what is known of an upload onto the access log line
	By        func(*http.Request) string         // names whoever makes a request
	Learnt    func() []LearntRule                // what the drop-in endpoint learnt; not nil
	Stopping  <-chan struct{}                    // closed when those who wait for events must be answered
}

// API answers for /v1. It is safe for concurrent use.
type API struct {
	cfg     Config
	feed    events.Feed
	waiting chan struct{} // has an entry for each call that waits for events
}

// New gives an API.
func New(cfg Config) *API {
	return &API{cfg: cfg, feed: events.NewFeed(cfg.Tasks), waiting: make(chan struct{}, mostWaiting)}
}

// Waiting is how many calls wait for events.
func (a *API) Waiting() int { return len(a.waiting) }

// Route is one of the API's handlers. An error that it gives is for problem.Explain.
type Route struct {
	Pattern   string
	Operators bool // it is for operators alone
	Serve     func(http.ResponseWriter, *http.Request) error
}

// Routes lists what the API answers.
func (a *API) Routes() []Route {
	return []Route{
		{Pattern: "POST /v1/uploads", Serve: a.postUpload},
		{Pattern: "GET /v1/uploads", Serve: a.listUploads},
		{Pattern: "GET /v1/uploads/{id}", Serve: a.getUpload},
		{Pattern: "POST /v1/uploads/{id}/retry", Operators: true, Serve: a.act(tasks.ActionRetry)},
		{Pattern: "POST /v1/uploads/{id}/discard", Operators: true, Serve: a.act(tasks.ActionDiscard)},
		{Pattern: "GET /v1/uploads/{id}/voucher", Operators: true, Serve: a.getVoucher},
		{Pattern: "GET /v1/events", Serve: a.listEvents},
		{Pattern: "GET /v1/accounts", Serve: a.listAccounts},
		{Pattern: "POST /v1/accounts/{name}/pause", Operators: true, Serve: a.pauseAccount},
		{Pattern: "POST /v1/accounts/{name}/resume", Operators: true, Serve: a.resumeAccount},
		{Pattern: "GET /v1/spool", Serve: a.spool},
		{Pattern: "GET /openapi.json", Serve: openAPI},
	}
}

// postUpload enqueues a voucher.
func (a *API) postUpload(w http.ResponseWriter, r *http.Request) error {
	u, err := a.cfg.Intake.TakeUpload(w, r)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/uploads/"+u.ID)
	status := http.StatusAccepted
	if u.Duplicate {
		status = http.StatusOK
	}
	problem.WriteJSON(w, status, u)
	return nil
}
