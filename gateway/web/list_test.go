package web_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

func many(n int, state ledger.State) []ledger.Upload {
	var all []ledger.Upload
	for i := range n {
		all = append(all, upload(i, state))
	}
	return all
}

func TestPaging(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(120, ledger.Rejected)...)
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`)
	ids := regexp.MustCompile(`name="id" value="([^"]+)"`)
	seen := map[string]bool{}
	path, pages := "/uploads?account=default&since=720h&state=rejected", 0
	for path != "" {
		a := s.get(path)
		s.has(a, http.StatusOK)
		for _, m := range ids.FindAllStringSubmatch(a.body, -1) {
			seen[m[1]] = true
		}
		if pages > 0 && !strings.Contains(a.body, "First page") {
			t.Error("there is no way back to the first page")
		}
		path = ""
		if m := next.FindStringSubmatch(a.body); m != nil {
			path = html.UnescapeString(m[1])
			if !strings.Contains(path, "state=rejected") || !strings.Contains(path, "account=default") || !strings.Contains(path, "since=720h") {
				t.Errorf("the next page forgets the filter: %s", path)
			}
		}
		if pages++; pages > 10 {
			t.Fatal("the pages have no end")
		}
	}
	if pages != 3 || len(seen) != 120 {
		t.Errorf("%d uploads on %d pages, want 120 on 3", len(seen), pages)
	}
}

// A page may have no upload and not be the last.
func TestAnEmptyPageLeadsOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Rejected))
	s.store.short = true
	page := s.get("/uploads?state=rejected&code=1")
	s.has(page, http.StatusOK, "The next page looks at more.", `rel="next"`)
	if strings.Contains(page.body, "Nothing is rejected") {
		t.Error("it says that there is none")
	}
}

// A bulk action goes on behind a page without uploads.
func TestRetryAllGoesOnBehindAnEmptyPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(3, ledger.Rejected)...)
	s.store.short = true
	s.has(s.post("/uploads/several", url.Values{"act": {"retry-all"}, "state": {"rejected"}, "code": {"1"}, "confirmed": {"yes"}}),
		http.StatusOK, "3 uploads will be sent again.")
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, query := range []string{"state=lost", "account=A%20b", "since=1y", "since=24h30m", "state=%00"} {
		s.has(s.get("/uploads?"+query), http.StatusUnprocessableEntity, "This address does not work")
	}
	s.has(s.get("/uploads?order="+url.QueryEscape(evil)), http.StatusOK, "No uploads here.")
}

func TestListIsForItsReader(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Rejected))
	s.has(s.get("/uploads?state=rejected"), http.StatusOK, `value="retry-all"`, `value="discard-all"`, `type="checkbox"`, evilText())
	if a := s.get("/uploads"); strings.Contains(a.body, "-all\"") {
		t.Error("all uploads of all states can be acted on at once")
	}
	s.viewer.Operator = false
	if a := s.get("/uploads?state=rejected"); strings.Contains(a.body, "checkbox") || strings.Contains(a.body, `name="act"`) {
		t.Error("a producer can tick uploads")
	}
}

func TestListOffersWhatFits(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Rejected), upload(2, ledger.Delivered), upload(3, ledger.Queued))
	offered := func(path string, texts ...string) answer {
		t.Helper()
		a := s.get(path)
		s.has(a, http.StatusOK, texts...)
		return a
	}
	a := offered("/uploads", "ended ones by when they ended", `value="retry" class="main"`, `<b>3</b>`)
	if n := strings.Count(a.body, `name="id"`); n != 2 || strings.Contains(a.body, "aria-sort") {
		t.Errorf("%d uploads can be picked, want the two that something can be done to", n)
	}
	offered("/uploads?state=rejected", "by when they ended", `aria-sort="descending">Then`, `title="2026-11-22 1`)
	offered("/uploads?state=rejected&code=4003", "<b>1</b>")
	a = offered("/uploads?state=queued", "by when they were enqueued", `aria-sort="ascending">Age`, `value="discard"`)
	if strings.Contains(a.body, `value="retry"`) {
		t.Error("queued uploads can be retried")
	}
	if a = offered("/uploads?state=delivered"); strings.Contains(a.body, "checkbox") || strings.Contains(a.body, `name="act"`) {
		t.Error("delivered uploads can be picked")
	}
	// With the breaker open, the account comes first.
	s.store.accounts[0].Breaker, s.store.accounts[0].Reason = tasks.BreakerOpen, "credentials"
	a = offered("/uploads?state=rejected", "waits until its account goes on", `href="/#account-default"`)
	if strings.Contains(a.body, `value="retry" class="main"`) {
		t.Error("a retry that waits is offered first")
	}
	s.has(s.get("/uploads/"+idOf(1)), http.StatusOK, `class="button main" href="/#account-default"`, `/retry"><button>`)
	s.store.accounts[0].Pause = &ledger.Pause{Reason: "stocktaking"}
	offered("/uploads?state=rejected", `class="main" formaction="/accounts/default/resume"`)
}

func evilText() string { return html.EscapeString(evil) }

func TestActOnOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Rejected))
	path := "/uploads/" + idOf(1) + "/discard"
	s.has(s.post(path, nil), http.StatusOK, "Discard this upload?", "cannot be undone", `name="confirmed"`, `name="reason"`)
	if len(s.store.done) != 0 {
		t.Fatalf("done unasked: %v", s.store.done)
	}
	a := s.post(path, url.Values{"confirmed": {"yes"}, "reason": {evil}})
	if want := "/uploads/" + idOf(1) + "?done=discard"; a.status != http.StatusSeeOther || a.header.Get("Location") != want {
		t.Errorf("%d to %s", a.status, a.header.Get("Location"))
	}
	s.has(s.get(a.header.Get("Location")), http.StatusOK, "Done: it has been discarded.", "by li-na", "it was: Rejected", evilText())
	if !slices.Equal(s.store.done, []string{"discard " + idOf(1)}) {
		t.Errorf("done: %v", s.store.done)
	}
	s.has(s.post("/uploads/none/retry", nil), http.StatusNotFound)
	s.has(s.post(path, url.Values{"x": {strings.Repeat("x", 100_000)}}), http.StatusUnprocessableEntity)
}

func TestActOnSeveral(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(6, ledger.Rejected)...)
	s.store.wrong = map[string]error{
		idOf(1): fmt.Errorf("retry: %w", ledger.ErrNotKept),
		idOf(2): &ledger.StateError{ID: idOf(2), State: ledger.Delivered},
		idOf(3): ledger.ErrNotFound,
	}
	form := url.Values{"act": {"retry"}, "state": {"rejected"}, "id": {idOf(0), idOf(1), idOf(2), idOf(3), idOf(0)}}
	s.has(s.post("/uploads/several", form), http.StatusOK, "Retry 4 uploads?", idOf(3))
	form.Set("confirmed", "yes")
	s.has(s.post("/uploads/several", form), http.StatusOK, "1 upload will be sent again.", "no longer kept", "it is: Delivered", "no such upload")
	if !slices.Equal(s.store.done, []string{"retry " + idOf(0)}) {
		t.Errorf("done: %v", s.store.done)
	}
	for name, form := range map[string]url.Values{
		"no act": {"id": {idOf(1)}}, "other act": {"act": {"deliver"}}, "all of none": {"act": {"retry-all"}},
		"all of a wrong state": {"act": {"retry-all"}, "state": {"delivered"}},
		"too many":             {"act": {"retry"}, "id": strings.Fields(strings.Repeat("a b c d e f g h ", 1) + distinct(60))},
	} {
		if a := s.post("/uploads/several", form); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
}

func distinct(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d ", i)
	}
	return b.String()
}

func TestActOnAll(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(450, ledger.Waiting)...)
	s.store.after = ledger.Waiting // what waits goes on waiting until its attempt
	s.store.wrong = map[string]error{idOf(7): &ledger.StateError{ID: idOf(7), State: ledger.Sending}}
	form := url.Values{"act": {"retry-all"}, "state": {"waiting"}}
	s.has(s.post("/uploads/several", form), http.StatusOK, "Retry all that are in this state?", "450 uploads now", "State: Waiting")
	form.Set("confirmed", "yes")
	s.has(s.post("/uploads/several", form), http.StatusOK, "449 uploads will be sent again.", "1 upload had moved on meanwhile")
	if n := len(slices.Compact(slices.Sorted(slices.Values(s.store.done)))); n != 449 || len(s.store.done) != 449 {
		t.Errorf("%d actions to %d uploads, want 449", len(s.store.done), n)
	}
}

// At a rate, a press of the button does what its time allows, and the page goes on with the rest.
func TestRetryAllAtARate(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(60, ledger.Waiting)...)
	s.store.after, s.store.slow = ledger.Waiting, 25
	form := url.Values{"act": {"retry-all"}, "state": {"waiting"}}
	s.has(s.post("/uploads/several", form), http.StatusOK, `<option value="5">5 a second`)
	form.Set("confirmed", "yes")
	form.Set("rate", "5")
	done := s.post("/uploads/several", form)
	s.has(done, http.StatusOK, "25 uploads will be sent again.", "data-goes-on", `name="rate" value="5"`)
	if s.store.rate != 5 {
		t.Errorf("the rate was %v", s.store.rate)
	}
	_, cursor, _ := strings.Cut(done.body, `name="cursor" value="`)
	cursor, _, _ = strings.Cut(cursor, `"`)
	s.store.slow = 0
	form.Set("cursor", cursor)
	s.has(s.post("/uploads/several", form), http.StatusOK, "40 uploads will be sent again.") // from the page's begin
	if n := len(slices.Compact(slices.Sorted(slices.Values(s.store.done)))); n != 60 {
		t.Errorf("%d uploads were retried, want 60", n)
	}
	form.Set("rate", "1000000")
	if a := s.post("/uploads/several", form); a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
		t.Errorf("a rate that is not offered: %d", a.status)
	}
}

// What is rejected again at once is not retried again in the same go, or that would never end.
func TestRetryAllEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(30, ledger.Rejected)...)
	s.store.after = ledger.Rejected
	s.has(s.post("/uploads/several", url.Values{"act": {"retry-all"}, "state": {"rejected"}, "confirmed": {"yes"}}),
		http.StatusOK, "30 uploads will be sent again.")
}

// However many presses it takes, the page ends it: what was rejected again since the first one is
// left alone.
func TestRetryAllAtARateEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(60, ledger.Rejected)...)
	s.store.after = ledger.Rejected
	form := url.Values{"act": {"retry-all"}, "state": {"rejected"}, "rate": {"5"}, "confirmed": {"yes"}}
	for presses := 1; ; presses++ {
		s.store.slow = 25 * presses
		done := s.post("/uploads/several", form)
		s.has(done, http.StatusOK)
		if !strings.Contains(done.body, "data-goes-on") {
			break
		}
		if presses == 10 {
			t.Fatalf("it goes on: 60 uploads were sent again %d times", len(s.store.done))
		}
		for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`).FindAllStringSubmatch(done.body, -1) {
			form.Set(field[1], html.UnescapeString(field[2]))
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(s.store.done)))); n != 60 || len(s.store.done) != 60 {
		t.Errorf("%d actions to %d uploads, want 60", len(s.store.done), n)
	}
	form.Set("until", "soon")
	if a := s.post("/uploads/several", form); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a time that is none: %d", a.status)
	}
}

func TestSeveralStopsWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, many(5, ledger.Rejected)...)
	s.store.wrong = map[string]error{}
	for i := range 5 {
		s.store.wrong[idOf(i)] = errAway
	}
	form := url.Values{"act": {"discard"}, "id": {idOf(1), idOf(2)}, "confirmed": {"yes"}}
	s.has(s.post("/uploads/several", form), http.StatusOK, "0 uploads were discarded.", "It stopped early")
	if len(s.causes) != 1 {
		t.Errorf("the log learns %v", s.causes)
	}
}

func TestIncidentReport(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Rejected), upload(2, ledger.Waiting))
	s.viewer.Operator = false // whoever may read records may read it
	s.has(s.get("/incident"), http.StatusOK, "Affected uploads: 2 (now: 1 waiting, 1 rejected)", "code 4003", "request-1", evilText(), `data-copy="Voucher`)
	s.has(s.get("/incident?lang=zh&since=1h&account=default"), http.StatusOK, "受影响的上传：2", "账户：default", "Incident report")
	s.has(s.get("/incident", "Accept-Language", "zh"), http.StatusOK, "受影响的上传：2", "事故报告")
	s.has(s.get("/incident?account=other"), http.StatusOK, "No upload failed")
	for _, query := range []string{"lang=de", "since=1y", "account=A%20b"} {
		s.has(s.get("/incident?"+query), http.StatusUnprocessableEntity, "This address does not work")
	}
}
