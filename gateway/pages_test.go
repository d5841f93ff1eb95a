package gateway_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// browse makes a call as a browser does.
func (b *bundle) browse(method, token, path string, form url.Values, header ...string) answer {
	b.t.Helper()
	h := http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}}
	if form != nil {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for pair := range slices.Chunk(header, 2) {
		h.Set(pair[0], pair[1])
	}
	return b.do(call{method: method, path: path, token: token, header: h, body: strings.NewReader(form.Encode())})
}

func TestPagesAreBehindTheLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.raw("1", png("x", 90))
	for _, path := range []string{"/", "/search?q=1", "/uploads", "/incident", "/uploads/" + u.ID, "/nothing", "/queues/"} {
		b.get("", path).problem(http.StatusUnauthorized, "unauthorized")
		a := b.browse(http.MethodGet, "", path, nil).want(http.StatusSeeOther)
		if want := "/login?next=" + url.QueryEscape(path); a.header.Get("Location") != want {
			t.Errorf("%s leads to %s, want %s", path, a.header.Get("Location"), want)
		}
		a = b.browse(http.MethodGet, "voucherd_wrong", path, nil).want(http.StatusUnauthorized)
		if !strings.Contains(string(a.body), "Enter your token as the password") || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: a person is told %s", path, a.body)
		}
	}
	for _, path := range []string{"/", "/uploads", "/uploads/" + u.ID} {
		a := b.browse(http.MethodGet, b.producer, path, nil).want(http.StatusOK)
		policy := a.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "script-src 'self';") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "sandbox") {
			t.Errorf("%s: policy %s", path, policy)
		}
	}
	for path, status := range map[string]int{"/nothing": 404, "/uploads/none": 404, "/uploads?state=x": 422} {
		if a := b.browse(http.MethodGet, b.producer, path, nil).want(status); !strings.Contains(string(a.body), "<main") {
			t.Errorf("%s: a person is shown %s", path, a.body)
		}
	}
	b.browse(http.MethodGet, b.producer, "/v1/uploads/none", nil).problem(http.StatusNotFound, "not-found")
}

func TestThePagesOwnFilesAreNotLogged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.browse(http.MethodGet, b.producer, "/static/app.css", nil).want(http.StatusOK)
	b.browse(http.MethodGet, b.producer, "/static/none.css", nil).want(http.StatusNotFound)
	b.browse(http.MethodGet, b.producer, "/", nil).want(http.StatusOK)
	for i, want := range []zapcore.Level{zapcore.DebugLevel, zapcore.InfoLevel, zapcore.InfoLevel} {
		if line := b.requestLines(3)[i]; line.Level != want {
			t.Errorf("%v is logged at %s", line.ContextMap()["path"], line.Level)
		}
	}
}

func TestPagesActForOperatorsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.raw("1", png("x", 90))
	yes := url.Values{"confirmed": {"yes"}, "act": {"discard"}, "id": {u.ID}}
	for _, path := range []string{"/uploads/" + u.ID + "/retry", "/uploads/" + u.ID + "/discard", "/uploads/several"} {
		b.browse(http.MethodPost, b.producer, path, yes).want(http.StatusForbidden)
		for _, site := range []string{"cross-site", "same-site"} {
			b.browse(http.MethodPost, b.operator, path, yes, "Sec-Fetch-Site", site, "Origin", "https://evil.example").want(http.StatusForbidden)
		}
	}
	if got, err := b.tasks.Get(b.ctx, u.ID); err != nil || got.State != ledger.Queued {
		t.Fatalf("somebody acted: %v %v", got.State, err)
	}
	a := b.browse(http.MethodPost, b.operator, "/uploads/several", yes, "Sec-Fetch-Site", "same-origin").want(http.StatusOK)
	if got, err := b.tasks.Get(b.ctx, u.ID); err != nil || got.State != ledger.Discarded {
		t.Fatalf("not discarded: %v %v %s", got.State, err, a.body)
	}
}

// withQueues gives the gateway asynqmon, with a client of the tests' own and with one as the
// program has it.
func withQueues(b *bundle) {
	rdb, err := redisconn.Open(redistest.URL(), 0)
	b.must(err)
	b.t.Cleanup(func() { _ = rdb.Close() })
	b.cfg.Queues, err = gateway.NewQueues(b.rdb, false)
	b.must(err)
	b.cfg.QueuesReadOnly, err = gateway.NewQueues(rdb, true)
	b.must(err)
}

// TestQueuesWithoutATask takes a task away from under its queue: the queues are shown all the same.
func TestQueuesWithoutATask(t *testing.T) {
	t.Parallel()
	b := setup(t, withQueues)
	b.raw("1", png("x", 90))
	b.raw("2", png("x", 91))
	queue := ledger.Queue(b.account)
	id, err := b.rdb.LIndex(b.ctx, "asynq:{"+queue+"}:pending", 0).Result()
	b.must(err)
	b.must(b.rdb.Del(b.ctx, "asynq:{"+queue+"}:t:"+id).Err())
	for _, token := range []string{b.operator, b.producer} {
		for _, path := range []string{"/queues/api/queues", "/queues/api/queues/" + queue} {
			a := b.get(token, path).want(http.StatusOK)
			if !strings.Contains(string(a.body), queue) || !strings.Contains(string(a.body), `"pending":2`) {
				t.Errorf("%s shows %s", path, a.body)
			}
		}
		b.get(token, "/queues/api/queues/"+queue+"/pending_tasks").want(http.StatusOK)
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	b := setup(t, withQueues)
	u := b.raw("1", png("x", 90))
	a := b.get(b.operator, "/queues/").want(http.StatusOK)
	policy := a.header.Get("Content-Security-Policy")
	script, _, _ := strings.Cut(strings.TrimPrefix(policy, "default-src 'none'; "), ";")
	if strings.Contains(script, "unsafe") || strings.Count(script, "'sha256-") != 2 {
		t.Errorf("asynqmon's page may run %s", script)
	}
	for _, path := range []string{"/queues/", "/queues/servers", "/queues/queues/" + ledger.Queue(b.account) + "/tasks/" + ledger.TaskID(u.ID, 1)} {
		page := string(b.get(b.operator, path).want(http.StatusOK).body)
		if !strings.Contains(page, `<body><a href="/" `) || regexp.MustCompile(`(href|src)="(https?:)?//`).MatchString(page) {
			t.Errorf("%s has no way back, or loads from other sites: %s", path, page)
		}
	}
	tasks := b.get(b.producer, "/queues/api/queues/"+ledger.Queue(b.account)+"/pending_tasks").want(http.StatusOK)
	if !strings.Contains(string(tasks.body), u.ID) {
		t.Errorf("the task is not shown: %s", tasks.body)
	}
	pause := "/queues/api/queues/" + ledger.Queue(b.account) + ":pause"
	if s := b.post(b.producer, pause).status; s != http.StatusMethodNotAllowed {
		t.Errorf("a producer's pause: %d", s)
	}
	if s := b.post(b.operator, pause).status; s != http.StatusNoContent {
		t.Errorf("an operator's pause: %d", s)
	}
	if kind := b.get(b.operator, "/queues/static/media/logo-color.c2b0c1f3.svg").header.Get("Content-Type"); kind != "image/svg+xml" {
		t.Errorf("the logo is %s", kind)
	}
}
