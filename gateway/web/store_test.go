package web_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway/web"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// store is a web.Store of a few uploads. The real ones are tried by the browser's tests.
type store struct {
	mu       sync.Mutex
	uploads  []ledger.Upload
	accounts []tasks.AccountStatus
	err      error            // of every call, if set
	after    ledger.State     // of what is retried; "": queued
	wrong    map[string]error // of what is done to an upload
	done     []string         // what was done: "retry <id>"
	asked    int              // calls
	rate     float64          // of the last bulk action
	short    bool             // the first page by a code has no uploads
	room     error            // for any voucher
	slow     int              // how many a bulk action at a rate does before its time is over; 0: all
}

func (s *store) call() (func(), error) {
	s.mu.Lock()
	s.asked++
	return s.mu.Unlock, s.err
}

func (s *store) Get(_ context.Context, id string) (ledger.Upload, error) {
	unlock, err := s.call()
	defer unlock()
	i := slices.IndexFunc(s.uploads, func(u ledger.Upload) bool { return u.ID == id })
	if err == nil && i < 0 {
		err = ledger.ErrNotFound
	}
	if err != nil {
		return ledger.Upload{}, err
	}
	return s.uploads[i], nil
}

func (s *store) Search(_ context.Context, key string) ([]ledger.Upload, error) {
	unlock, err := s.call()
	defer unlock()
	var found []ledger.Upload
	for _, u := range s.uploads {
		if u.ID == key || u.OrderID == key || slices.ContainsFunc(u.Attempts, func(a ledger.Attempt) bool { return a.RequestID == key }) {
			found = append(found, u)
		}
	}
	if err == nil && found == nil {
		err = ledger.ErrNotFound
	}
	return found, err
}

func (s *store) List(_ context.Context, q ledger.Query) (ledger.Page, error) {
	unlock, err := s.call()
	defer unlock()
	if s.short && q.Code != "" && q.Cursor == "" {
		return ledger.Page{Cursor: "0"}, err
	}
	var fit []ledger.Upload
	for _, u := range s.uploads {
		if (q.State == "" || q.State == u.State) && (q.Account == "" || q.Account == u.Account) && (q.OrderID == "" || q.OrderID == u.OrderID) {
			fit = append(fit, u)
		}
	}
	slices.SortFunc(fit, func(a, b ledger.Upload) int {
		if q.OldestFirst {
			return strings.Compare(placeOf(a), placeOf(b))
		}
		return cmp.Or(b.EndedAt.Compare(a.EndedAt.Time), strings.Compare(a.ID, b.ID))
	})
	from := slices.IndexFunc(fit, func(u ledger.Upload) bool { return placeOf(u) == q.Cursor }) + 1
	if q.Cursor != "" && q.OldestFirst {
		from = len(fit) - len(slices.DeleteFunc(slices.Clone(fit), func(u ledger.Upload) bool { return placeOf(u) <= q.Cursor }))
	}
	page := ledger.Page{Uploads: fit[from:min(from+q.Limit, len(fit))]}
	if n := len(page.Uploads); from+n < len(fit) {
		page.Cursor = placeOf(page.Uploads[n-1])
	}
	return page, err
}

// placeOf is an upload's place in a list, oldest first.
func placeOf(u ledger.Upload) string {
	return fmt.Sprintf("%d.%s", max(0, u.EndedAt.UnixMilli()), u.ID)
}

func (s *store) Count(_ context.Context, q ledger.Query) (map[ledger.State]int64, error) {
	unlock, err := s.call()
	defer unlock()
	counts := map[ledger.State]int64{}
	for _, u := range s.uploads {
		if (q.Account == "" || q.Account == u.Account) && (q.OrderID == "" || q.OrderID == u.OrderID) {
			counts[u.State]++
		}
	}
	return counts, err
}

func (s *store) Accounts(context.Context) ([]tasks.AccountStatus, error) {
	unlock, err := s.call()
	defer unlock()
	return s.accounts, err
}

func (s *store) Standing(_ context.Context, account string) (tasks.AccountStatus, error) {
	unlock, err := s.call()
	defer unlock()
	for _, a := range s.accounts {
		if a.Account == account {
			return a, err
		}
	}
	return tasks.AccountStatus{Account: account, Breaker: tasks.BreakerClosed}, err
}

func (s *store) Room(context.Context, string) error { return s.room }

func (s *store) Pause(_ context.Context, p tasks.PauseRequest) (tasks.AccountStatus, error) {
	unlock, err := s.call()
	defer unlock()
	s.done = append(s.done, fmt.Sprintf("pause %s: %s by %s for %v", p.Account, p.Reason, p.By, p.For))
	return tasks.AccountStatus{}, err
}

func (s *store) Resume(_ context.Context, account string) (tasks.AccountStatus, error) {
	unlock, err := s.call()
	defer unlock()
	s.done = append(s.done, "resume "+account)
	return tasks.AccountStatus{}, err
}

func (s *store) ActAll(ctx context.Context, b tasks.Bulk, done func(string, tasks.Result) error) error {
	s.rate = b.Rate
	for _, id := range b.IDs {
		if s.slow > 0 && len(s.done) == s.slow {
			return tasks.ErrTooSlow
		}
		u, err := s.Act(ctx, b.Action, id, b.Who)
		if err = done(id, tasks.Result{Upload: u, Err: err}); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) Act(_ context.Context, a tasks.Action, id string, who ledger.Who) (ledger.Upload, error) {
	to := cmp.Or(s.after, ledger.Queued)
	if a == tasks.ActionDiscard {
		to = ledger.Discarded
	}
	unlock, err := s.call()
	defer unlock()
	if err = cmp.Or(err, s.wrong[id]); err != nil {
		return ledger.Upload{}, err
	}
	s.done = append(s.done, string(a)+" "+id)
	for i := range s.uploads {
		if s.uploads[i].ID == id {
			s.uploads[i].Actions = append(s.uploads[i].Actions, ledger.Action{
				At: at(0), By: who.By, Action: string(a), State: s.uploads[i].State, Reason: who.Reason,
			})
			s.uploads[i].State = to
			if to.Final() {
				s.uploads[i].EndedAt = at(-time.Duration(len(s.done)) * time.Second)
			}
			return s.uploads[i], nil
		}
	}
	return ledger.Upload{}, ledger.ErrNotFound
}

// Activity has two attempts delivered and one refused in every third step, with a backlog of 7, and the
// breaker open in the step before the last.
func (s *store) Activity(_ context.Context, _ string, step time.Duration, n int) (ledger.Activity, error) {
	unlock, err := s.call()
	defer unlock()
	a := ledger.Activity{Now: at(0), Step: step, Steps: make([]ledger.Step, n)}
	for i := range a.Steps {
		a.Steps[i] = ledger.Step{At: at(step * time.Duration(n-1-i)), Watched: i > 0, Backlog: 7}
		if i%3 == 0 {
			a.Steps[i].Attempts = map[ledger.Outcome]int64{ledger.OutcomeDelivered: 2, ledger.OutcomeRefused: 1}
			a.Steps[i].Calls[13] = 3 // 91 to 128 ms
		}
	}
	a.Steps[n-2].Breaker = "outage"
	return a, err
}

const account = "default"

var errAway = errors.New("redis is away")

// at is the time of the tests.
func at(ago time.Duration) ledger.Time {
	return ledger.Time{Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Add(-ago)}
}

func idOf(n int) string { return fmt.Sprintf("%s-%026d", account, n) }

// upload makes an upload as far as it can come in a state.
func upload(n int, state ledger.State) ledger.Upload {
	u := ledger.Upload{
		ID: idOf(n), Account: account, OrderID: fmt.Sprintf("19938044172%08d", n), State: state, SHA256: strings.Repeat("ab", 32),
		Size: 2048, MediaType: "image/png", StoreKey: "key", Generation: 1, CreatedAt: at(time.Hour), UpdatedAt: at(time.Minute),
		ExpiresAt: at(-24 * time.Hour),
	}
	if state == ledger.Queued {
		return u
	}
	u.Attempts = []ledger.Attempt{{
		Number: 1, Generation: 1, StartedAt: at(2 * time.Minute), EndedAt: at(time.Minute), DurationMS: 1234,
		Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: "4003", RequestID: fmt.Sprintf("request-%d", n),
		DevelopID: "1", Msg: evil, Nonce: "n", Worker: "w1", Error: evil,
	}}
	u.AttemptCount, u.Outcome, u.RequestID, u.Code, u.Msg = 1, ledger.OutcomeRefused, "request", "4003", evil
	if state == ledger.Waiting {
		u.NextAttempt = at(-time.Minute)
	}
	if state.Final() {
		u.EndedAt = at(time.Minute)
	}
	return u
}

// alive are the workers of an account that is served.
func alive() []ledger.WorkerInfo {
	return []ledger.WorkerInfo{{Name: "shop-7:31", Version: "v1.2.3", LastBeat: at(time.Second), Live: true}}
}

const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>`

// site is the pages as the gateway serves them.
type site struct {
	t      testing.TB
	store  *store
	viewer web.Viewer
	mux    *http.ServeMux
	learnt []web.LearntRule
	spool  tasks.SpoolStatus
	causes []error
}

func newSite(tb testing.TB, uploads ...ledger.Upload) *site {
	tb.Helper()
	s := &site{t: tb, store: &store{uploads: uploads}, viewer: web.Viewer{Name: "li-na", Operator: true, Queues: true}, mux: http.NewServeMux()}
	counts := map[ledger.State]int64{}
	for _, u := range uploads {
		counts[u.State]++
	}
	s.store.accounts = []tasks.AccountStatus{{Account: account, Breaker: tasks.BreakerClosed, Uploads: counts, Workers: alive()}}
	pages, err := web.New(web.Config{
		Store: s.store, Viewer: func(*http.Request) web.Viewer { return s.viewer },
		Note: func(*http.Request, ledger.Upload) {}, Cause: func(_ *http.Request, err error) { s.causes = append(s.causes, err) },
		By: func(*http.Request) string { return s.viewer.Name }, Now: func() time.Time { return at(0).Time }, Learnt: func() []web.LearntRule { return s.learnt },
		Spooled: func() (tasks.SpoolStatus, error) { return s.spool, nil },
	})
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range pages.Routes() {
		s.mux.HandleFunc(r.Pattern, func(w http.ResponseWriter, q *http.Request) {
			if err := r.Serve(w, q); err != nil {
				s.causes = append(s.causes, err)
				problem := web.Problem{Status: http.StatusInternalServerError, Kind: "internal", ID: "log-id"}
				switch {
				case errors.Is(err, ledger.ErrNotFound):
					problem.Status, problem.Kind = http.StatusNotFound, "not-found"
				case errors.Is(err, web.ErrInput):
					problem.Status, problem.Kind = http.StatusUnprocessableEntity, "invalid-field"
				}
				pages.Problem(w, q, problem)
			}
		})
	}
	return s
}

// answer is a page that came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *site) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.send(http.MethodGet, path, nil, headers...)
}

func (s *site) post(path string, form url.Values) answer {
	s.t.Helper()
	return s.send(http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

func (s *site) send(method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, body)
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// has fails unless an answer has this status and all of these texts.
func (s *site) has(a answer, status int, texts ...string) {
	s.t.Helper()
	if a.status != status {
		s.t.Errorf("status %d, want %d; %v", a.status, status, s.causes)
	}
	for _, want := range texts {
		if !strings.Contains(a.body, want) {
			s.t.Errorf("the page does not hold %q:\n%s", want, a.body)
		}
	}
}
