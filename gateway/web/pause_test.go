package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Waiting))
	s.has(s.get("/"), http.StatusOK, `action="/accounts/default/pause"`, "shop-7:31", "v1.2.3", "alive 1 s ago")
	s.has(s.post("/accounts/default/pause", nil), http.StatusOK, "Pause account default?", `name="reason" required`, "until someone resumes it")
	if s.store.done != nil {
		t.Fatalf("done without being confirmed: %q", s.store.done)
	}
	form := url.Values{"confirmed": {"yes"}, "reason": {"month end"}, "for": {"soon"}}
	s.has(s.post("/accounts/default/pause", form), http.StatusUnprocessableEntity)
	form.Set("for", "4h")
	if a := s.post("/accounts/default/pause", form); a.status != http.StatusSeeOther || a.header.Get("Location") != "/?done=pause" {
		t.Fatalf("paused: %d %s", a.status, a.header)
	}
	form.Set("for", "")
	s.post("/accounts/default/pause", form)
	s.store.accounts[0].Breaker, s.store.accounts[0].Reason = tasks.BreakerOpen, "paused"
	s.store.accounts[0].Pause = &ledger.Pause{Reason: "month end", By: "li-na", Since: at(time.Minute), Until: at(-time.Hour)}
	s.has(s.get("/?done=pause"), http.StatusOK, "Done: the account is paused.", "Paused by li-na:", "<q>month end</q>", "in 1 h",
		`action="/accounts/default/resume"`)
	a := s.get("/uploads/" + idOf(1))
	s.has(a, http.StatusOK, "Paused by li-na:", "<q>month end</q>")
	if strings.Contains(a.body, "Next attempt") {
		t.Error("it says when the next attempt is, while nothing can be due")
	}
	s.has(s.post("/accounts/default/resume", nil), http.StatusSeeOther)
	want := []string{"pause default: month end by li-na for 4h0m0s", "pause default: month end by li-na for 0s", "resume default"}
	if !slices.Equal(s.store.done, want) {
		t.Errorf("done: %q, want %q", s.store.done, want)
	}
	s.viewer.Operator = false
	if strings.Contains(s.get("/").body+s.get("/accounts/default").body, `action="/accounts/`) {
		t.Error("who may not pause is offered to")
	}
}

func TestUploadSaysThatNobodyWorks(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Queued))
	if a := s.get("/uploads/" + idOf(1)); strings.Contains(a.body, "No worker is running") {
		t.Errorf("a worker lives, and the page says %s", a.body)
	}
	s.store.accounts[0].Workers[0].Live = false
	s.has(s.get("/uploads/"+idOf(1)), http.StatusOK, "No worker is running.", "voucherd worker")
}
