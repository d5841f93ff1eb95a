package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// worker has a worker beat for the account, once.
func (b *bundle) worker() {
	b.t.Helper()
	_, err := b.ledger.Beat(b.ctx, b.account, ledger.WorkerInfo{Instance: "i", Name: "host:1", Version: "v1", Concurrency: 4, DeadAfterMS: 600_000})
	b.must(err)
}

// standing reads the account as programs do.
func (b *bundle) standing() tasks.AccountStatus {
	b.t.Helper()
	var all struct{ Accounts []tasks.AccountStatus }
	b.get(b.producer, "/v1/accounts").want(http.StatusOK).read(&all)
	for _, a := range all.Accounts {
		if a.Account == b.account {
			return a
		}
	}
	b.t.Fatalf("no account %s in %+v", b.account, all)
	return tasks.AccountStatus{}
}

func TestWorkersAreShown(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		b.rdb = redistest.Start(t, redistest.Options{}).Client()
		b.store = blob.NewRedis(b.rdb)
	})
	degraded := func() bool {
		return strings.Contains(string(b.get("", "/readyz").want(http.StatusOK).body), "no worker is running")
	}
	b.get("", "/readyz").want(http.StatusOK)
	u := b.raw("1", png("x", 100))
	b.eventually("readyz says that nobody works", degraded)
	if a := b.get("", "/readyz"); !strings.Contains(string(a.body), `"status":"degraded"`) || strings.Contains(string(a.body), b.account) {
		t.Errorf("anybody learns %s", a.body)
	}
	if a := b.standing(); !a.Unattended() || a.Workers == nil {
		t.Errorf("account %+v", a)
	}
	var status tasks.UploadStatus
	b.get(b.producer, "/v1/uploads/"+u.ID).want(http.StatusOK).read(&status)
	if d := status.Delivery; d == nil || len(d.Obstacles) != 1 || d.Obstacles[0] != tasks.ObstacleNoWorker || d.WaitsFor == "" {
		t.Errorf("delivery %+v", d)
	}
	b.worker()
	if a := b.standing(); a.LiveWorkers() != 1 || a.Workers[0].Name != "host:1" || a.Workers[0].Version != "v1" || a.Workers[0].LastBeat.IsZero() {
		t.Errorf("account %+v", a)
	}
	b.eventually("readyz is well", func() bool { return string(b.get("", "/readyz").body) == `{"status":"ok"}`+"\n" })
}

func TestPauseOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.raw("1", png("x", 100))
	pause := func(token, account, body string) answer {
		return b.send(token, "/v1/accounts/"+account+"/pause", "application/json", []byte(body))
	}
	pause(b.producer, b.account, `{"reason":"x"}`).problem(http.StatusForbidden, "forbidden")
	pause(b.operator, "nobody-has-this", `{"reason":"x"}`).problem(http.StatusNotFound, "not-found")
	for body, kind := range map[string]string{
		``: "malformed-body", `{"reason":"x","until":"2h"}`: "malformed-body", `{}`: "invalid-field",
		`{"reason":"x","for":"soon"}`: "invalid-field", `{"reason":"x","for":"-2h"}`: "invalid-field", `{"reason":"x","for":"400d"}`: "invalid-field",
	} {
		status := http.StatusUnprocessableEntity
		if kind == "malformed-body" {
			status = http.StatusBadRequest
		}
		pause(b.operator, b.account, body).problem(status, kind)
	}
	var a tasks.AccountStatus
	pause(b.operator, b.account, `{"reason":"month end","for":"1d"}`).want(http.StatusOK).read(&a)
	if a.Reason != "paused" || a.Pause.Reason != "month end" || a.Pause.By != "ops" || !a.Pause.Until.Equal(a.Pause.Since.Add(24*time.Hour)) {
		t.Fatalf("paused %+v", a)
	}
	if got := b.standing(); got.Pause == nil || *got.Pause != *a.Pause || got.Breaker != tasks.BreakerOpen {
		t.Errorf("account %+v", got)
	}
	b.post(b.producer, "/v1/accounts/"+b.account+"/resume").problem(http.StatusForbidden, "forbidden")
	b.post(b.operator, "/v1/accounts/"+b.account+"/resume").want(http.StatusOK)
	if got := b.standing(); got.Breaker != tasks.BreakerClosed {
		t.Errorf("account %+v", got)
	}
}
