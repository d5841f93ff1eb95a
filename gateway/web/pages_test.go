package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway/web"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// everything lists a page of every kind, of uploads in every state, behind every kind of breaker.
func everything(t *testing.T, s *site) map[string]answer {
	t.Helper()
	var uploads []ledger.Upload
	for i, state := range ledger.States() {
		uploads = append(uploads, upload(i, state))
	}
	more := []ledger.Upload{upload(20, ledger.Queued), upload(21, ledger.Rejected), upload(22, ledger.Sending), upload(23, ledger.Rejected)}
	more[0].Generation, more[0].Reference, more[0].UserID = 0, evil, "21"
	more[1].Outcome, more[1].StoreKey = ledger.OutcomeInvalid, ""
	more[2].Attempts = append(more[2].Attempts, ledger.Attempt{Number: 120, StartedAt: at(0), Worker: "w"})
	more[2].AttemptCount = 120
	more[3].MediaType = "application/pdf"
	s.store.uploads = append(uploads, more...)
	s.store.accounts = nil
	for i, reason := range []string{"outage", "throttled", "credentials", "endpoint", "refusing", "store", "a new one", "", "paused", "paused"} {
		s.store.accounts = append(s.store.accounts, tasks.AccountStatus{
			Account: fmt.Sprintf("account%d", i), Breaker: tasks.BreakerOpen, Reason: reason, Since: at(100), NextProbeAt: at(-1e10), Paused: i == 3,
			Backlog: int64(i), OldestAgeMS: 1000, ClockSkewMS: int64(i-3) * 1000,
			LastAnswer: &tasks.LastAnswer{At: at(1), Outcome: ledger.OutcomeRefused, HTTPStatus: 401, Code: "4", Msg: evil},
			Uploads:    map[ledger.State]int64{ledger.Delivered: 12345, ledger.Rejected: 1, ledger.Expired: 2},
		})
	}
	s.store.accounts[4].Workers, s.store.accounts[9].Workers = alive(), []ledger.WorkerInfo{{Name: evil, LastBeat: at(time.Hour)}}
	s.store.accounts[8].Pause = &ledger.Pause{Reason: evil, By: evil, Since: at(1e9), Until: at(-1e9)}
	s.store.accounts[9].Pause = &ledger.Pause{Reason: "audit", Since: at(1e9)}
	s.learnt = []web.LearntRule{{Account: "account1", SignParts: "timestamp; hmac-md5 join=<", TimestampUnit: "s", SeenAt: at(7)}}
	s.store.accounts[2].Breaker, s.store.accounts[7].Breaker = tasks.BreakerHalfOpen, tasks.BreakerClosed
	all := map[string]answer{}
	for _, path := range []string{
		"/", "/?done=pause", "/?span=1h", "/?span=7d", "/?span=x", "/accounts/account3", "/accounts/account9", "/accounts/none", "/search", "/search?q=nothing", "/search?q=" + strings.Repeat("x", 300), "/uploads", "/uploads/none",
		"/uploads?state=rejected&account=default&since=1h", "/uploads?order=1&state=waiting", "/uploads?state=discarded&account=other",
		"/uploads/" + idOf(0) + "?done=retry", "/uploads/" + idOf(0) + "?done=discard",
	} {
		all[path] = s.get(path)
	}
	for _, u := range s.store.uploads {
		all[u.ID] = s.get("/uploads/" + u.ID)
		all["ask retry "+u.ID] = s.post("/uploads/"+u.ID+"/retry", nil)
		all["ask discard "+u.ID] = s.post("/uploads/"+u.ID+"/discard", nil)
	}
	all["ask pause"] = s.post("/accounts/default/pause", nil)
	for _, act := range []string{"retry", "discard", "retry-all", "discard-all"} {
		form := url.Values{"act": {act}, "state": {"expired"}, "account": {"lane7"}, "since": {"24h"}, "id": {idOf(1), idOf(2)}}
		all["ask "+act] = s.post("/uploads/several", form)
		form.Set("confirmed", "yes")
		all[act] = s.post("/uploads/several", form)
	}
	all["none selected"] = s.post("/uploads/several", url.Values{"act": {"retry"}})
	return all
}

func TestEveryPageInEveryLanguage(t *testing.T) {
	t.Parallel()
	inline := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+="|<style|<script>|javascript:`)
	left := regexp.MustCompile(`%!|%\[?\d*\]?[sd]|ZgotmplZ|&lt;nil&gt;`)
	for _, language := range []string{"en", "zh"} {
		for _, operator := range []bool{true, false} {
			s := newSite(t)
			s.viewer = web.Viewer{Name: "x", Operator: operator}
			header := "Accept-Language"
			s.mux = withHeader(s.mux, header, language)
			for name, a := range everything(t, s) {
				if a.status >= http.StatusInternalServerError {
					t.Errorf("%s in %s: status %d, %v", name, language, a.status, s.causes)
				}
				if m := inline.FindString(a.body); m != "" {
					t.Errorf("%s in %s holds %q, which its policy forbids", name, language, m)
				}
				if m := left.FindString(a.body); m != "" {
					t.Errorf("%s in %s holds %q", name, language, m)
				}
				if strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "<img src=x") {
					t.Errorf("%s in %s lets foreign words be markup", name, language)
				}
				if !operator && strings.Contains(a.body, "/voucher\"") {
					t.Errorf("%s shows the voucher to a producer", name)
				}
			}
		}
	}
}

func withHeader(mux *http.ServeMux, name, value string) *http.ServeMux {
	outer := http.NewServeMux()
	outer.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(name, value)
		mux.ServeHTTP(w, r)
	})
	return outer
}

// A message that no page uses is as wrong as one that is missing.
func TestEveryMessageIsUsed(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, dir := range []string{"templates", "."} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			text, err := os.ReadFile(dir + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	made := regexp.MustCompile(`^(state|outcome|breaker|advice|problem|unit|language|span|list\.since|list\.none|pause\.for|act|did|bulk)\.`) // put together from parts
	for key := range messages(t, "en") {
		if !made.MatchString(key) && !strings.Contains(source.String(), `"`+key+`"`) {
			t.Errorf("no page uses the message %q", key)
		}
	}
}

// TestEveryReasonHasItsWords holds the reasons for which a breaker opens against the texts that
// explain them.
func TestEveryReasonHasItsWords(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "zh"} {
		texts := messages(t, language)
		for _, reason := range ledger.Reasons() {
			for _, key := range []string{"breaker." + reason, "advice." + reason} {
				if texts[key] == "" && key != "advice."+ledger.ReasonPaused { // who paused it stands there instead
					t.Errorf("%s: no text for %q", language, key)
				}
			}
		}
	}
}

func TestUploadPage(t *testing.T) {
	t.Parallel()
	u := upload(1, ledger.Rejected)
	s := newSite(t, u, upload(2, ledger.Delivered), upload(3, ledger.Waiting), upload(4, ledger.Sending))
	page := s.get("/uploads/" + u.ID)
	s.has(page, http.StatusOK, u.OrderID, u.ID, "request-1", "took 1 s", "4003", "w1",
		"&lt;script&gt;alert(1)&lt;/script&gt;", `src="/v1/uploads/`+u.ID+`/voucher"`, `action="/uploads/`+u.ID+`/retry"`)
	if strings.Contains(page.body, `data-live="3"`) {
		t.Error("an upload that has ended is asked for again and again")
	}
	s.has(s.get("/uploads/"+idOf(2)), http.StatusOK, "not yet a confirmed payment")
	s.has(s.get("/uploads/"+idOf(3)), http.StatusOK, `data-live="3"`, "Send it now", "Next attempt in 1 min")
	if a := s.get("/uploads/" + idOf(4)); strings.Contains(a.body, "/retry") || strings.Contains(a.body, "/discard") {
		t.Error("an upload on its way can be acted on")
	}
	part := s.get("/uploads/"+idOf(3), "Voucherd-Live", "1")
	if strings.Contains(part.body, "<html") || !strings.Contains(part.body, "Send it now") {
		t.Errorf("the live part is %s", part.body)
	}
	s.viewer.Operator = false
	a := s.get("/uploads/" + u.ID)
	s.has(a, http.StatusOK, "Only operators may see the voucher.")
	if strings.Contains(a.body, "/retry") || strings.Contains(a.body, "<figure") {
		t.Error("a producer may act")
	}
	s.has(s.get("/uploads/default-x"), http.StatusNotFound, "Not found", "log-id")
	s.store.err = errAway
	s.has(s.get("/uploads/"+u.ID), http.StatusInternalServerError, "Something went wrong here")
}

func TestSearch(t *testing.T) {
	t.Parallel()
	first, second, other := upload(1, ledger.Delivered), upload(2, ledger.Queued), upload(3, ledger.Waiting)
	second.OrderID = first.OrderID
	s := newSite(t, first, second, other)
	for key, want := range map[string]string{
		other.OrderID: "/uploads/" + other.ID, " " + other.ID + "\n": "/uploads/" + other.ID, "request-3": "/uploads/" + other.ID + "#attempt-1",
	} {
		a := s.get("/search?q=" + url.QueryEscape(key))
		if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != want {
			t.Errorf("%q: %d to %s, want %s", key, a.status, got, want)
		}
	}
	s.has(s.get("/search?q="+first.OrderID), http.StatusOK, "2 uploads for "+first.OrderID, first.ID, second.ID)
	s.has(s.get("/search?q="+url.QueryEscape(evil)), http.StatusNotFound, "Nothing found for &#34;&gt;&lt;script")
	s.has(s.get("/search"), http.StatusOK, "Type an id")
	before := s.store.asked
	s.has(s.get("/search?q="+strings.Repeat("9", 10_000)), http.StatusNotFound, "Nothing found")
	if s.store.asked != before {
		t.Error("a key of 10,000 characters was looked for")
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Delivered), upload(2, ledger.Waiting), upload(3, ledger.Expired))
	s.store.accounts[0].DeliveredPerMinute, s.store.accounts[0].AttemptP95MS = 12.5, 1230
	a := s.get("/")
	s.has(a, http.StatusOK, "All accounts are delivering.", "Breaker closed", `href="/uploads?state=rejected"`, "shop-7:31 v1.2.3",
		">12.5<", "1.2 s", `<a class="sign warn" href="/uploads?state=expired">1 upload ended undelivered`, `href="/accounts/default"`)
	account := &s.store.accounts[0]
	account.Breaker, account.Reason, account.Since, account.NextProbeAt = tasks.BreakerOpen, "outage", at(90e9), at(-42e9)
	s.has(s.get("/"), http.StatusOK, `<a class="sign alarm" href="#account-default">The circuit breaker of 1 account is open.`, "PandaPon does not answer.",
		"1 min 30 s ago", "in 42 s", "Nothing to do but wait", `id="account-default"`)
	account.Breaker, account.Reason, account.Backlog, account.Workers = tasks.BreakerClosed, "", 1, nil
	a = s.get("/")
	s.has(a, http.StatusOK, "Uploads of 1 account wait and no worker is running.", "No worker is running.", `class="breaker open">No worker`)
	if strings.Contains(a.body, "All accounts are delivering") || strings.Contains(a.body, `breaker closed">`) {
		t.Error("it is green although nothing works")
	}
	s.store.accounts = nil
	s.has(s.get("/"), http.StatusOK, "No account yet.")
}

// Those in trouble stand first.
func TestTroubleStandsFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	add := func(name, reason string, backlog int64, workers []ledger.WorkerInfo) {
		s.store.accounts = append(s.store.accounts, tasks.AccountStatus{Account: name, Reason: reason, Backlog: backlog, Workers: workers})
	}
	s.store.accounts = nil
	add("a-fine", "", 0, alive())
	add("b-throttled", "throttled", 1, alive())
	add("c-open", "credentials", 1, alive())
	add("d-nobody", "", 1, nil)
	body := s.get("/").body
	last := -1
	for _, name := range []string{"d-nobody", "c-open", "b-throttled", "a-fine"} {
		i := strings.Index(body, `id="account-`+name)
		if i < last {
			t.Errorf("%s stands too early", name)
		}
		last = i
	}
}

func TestCharts(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload(1, ledger.Waiting))
	s.store.accounts[0].Backlog = 9
	for span, c := range map[string]struct {
		bars  int
		words []string
	}{
		"1h":  {20, []string{"Accepted <b>40</b>", "Refused <b>20</b>", "56 min ago · Accepted 2 · Refused 1", "1 h ago"}},
		"24h": {16, []string{"Accepted <b>32</b>", "22 h ago · Accepted 2", "1 d ago", "30 min ago · PandaPon does not answer."}},
		"7d":  {28, []string{"Accepted <b>56</b>", "6 d 22 h ago · 95 % within 130 ms · 50 % within 110 ms", "7 d ago"}},
	} {
		a := s.get("/accounts/default?span=" + span)
		s.has(a, http.StatusOK, append(c.words, "Account default", "95 % within <b>130 ms</b>", "now <b>9</b>", `class="unwatched"`, `?span=`+span+`" aria-current`)...)
		if n := strings.Count(a.body, `<rect class="delivered"`); n != c.bars {
			t.Errorf("the chart of %s has %d bars, want %d", span, n, c.bars)
		}
	}
	s.has(s.get("/?span=nonsense"), http.StatusOK, `?span=24h" aria-current`)
	s.has(s.get("/accounts/other"), http.StatusNotFound)
	s.store.err = errAway
	s.has(s.get("/accounts/default"), http.StatusInternalServerError)
}

// The start page costs the store the same however many uploads there are.
func TestCostOfPages(t *testing.T) {
	t.Parallel()
	cost := func(n int) (start, list int) {
		var uploads []ledger.Upload
		for i := range n {
			uploads = append(uploads, upload(i, ledger.States()[i%len(ledger.States())]))
		}
		s := newSite(t, uploads...)
		s.get("/")
		start, s.store.asked = s.store.asked, 0
		s.get("/uploads")
		return start, s.store.asked
	}
	start, list := cost(14)
	moreStart, moreList := cost(400)
	if start != moreStart || list != moreList || list != 3 {
		t.Errorf("with 14 uploads %d and %d calls, with 400 %d and %d", start, list, moreStart, moreList)
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := s.get("/")
	for name, kind := range map[string]string{"app.css": "text/css", "app.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		address := regexp.MustCompile(`/static/` + regexp.QuoteMeta(name) + `\?v=[0-9a-f]+`).FindString(page.body)
		a := s.get(address)
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), kind) || !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", address, a.status, a.header)
		}
		if a := s.get("/static/" + name + "?v=old"); a.header.Get("Cache-Control") != "" {
			t.Errorf("an old address of %s is to be kept: %v", name, a.header)
		}
	}
	s.has(s.get("/static/..%2fpages.go"), http.StatusNotFound)
	s.has(s.get("/static/none.css"), http.StatusNotFound)
}

// What leads from the overview to an account explains itself there.
func TestALearntRuleLeadsToItsAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.learnt = []web.LearntRule{{Account: account, SignParts: "timestamp", TimestampUnit: "s", SeenAt: at(7)}}
	if page := s.get("/"); !strings.Contains(page.body, `<a href="/accounts/`+account+`">`+"A call for account") {
		t.Error("the overview does not lead to the account")
	}
	if page := s.get("/accounts/" + account); !strings.Contains(page.body, "PANDAPON_SIGN_PARTS=timestamp") {
		t.Error("the account's page does not tell of the rule")
	}
}

// What waits in the spool is shown on the overview, and on the page that says that Redis is away.
func TestTheSpoolIsShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if page := s.get("/"); strings.Contains(page.body, "spool") {
		t.Error("an empty spool is shown")
	}
	s.spool = tasks.SpoolStatus{Vouchers: 3, Refused: 1, Oldest: at(2 * time.Minute)}
	for _, away := range []error{nil, errors.New("redis is away")} {
		s.store.err = away
		page := s.get("/")
		for _, text := range []string{"3 vouchers wait in this gateway&#39;s spool", "the oldest came 2 min ago", "1 voucher of the spool can never be enqueued"} {
			if !strings.Contains(page.body, text) {
				t.Errorf("%v: %q is not on the page: %s", away, text, page.body)
			}
		}
	}
	s.spool.Full = true
	if page := s.get("/"); !strings.Contains(page.body, "the spool is full. No voucher is taken") {
		t.Errorf("a full spool is not on the page: %s", page.body)
	}
	s.viewer = web.Viewer{}
	if page := s.get("/"); strings.Contains(page.body, "spool") {
		t.Error("it is shown to one who is not logged in")
	}
}

// While no voucher is taken, the overview does not say that all is well.
func TestNoRoomIsShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.has(s.get("/"), http.StatusOK, "All accounts are delivering.")
	s.store.room = tasks.ErrNoRoom
	page := s.get("/")
	s.has(page, http.StatusOK, "Redis has no room. No voucher is taken for 1 account")
	if strings.Contains(page.body, "All accounts are delivering.") {
		t.Error("it says that all is well")
	}
}
