package incident_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/internal/incident"
	"github.com/voucherd/voucherd/ledger"
)

// store lists uploads page by page, as the ledger does.
type store struct {
	uploads []ledger.Upload
	err     error
	read    int
}

func (s *store) List(_ context.Context, q ledger.Query) (ledger.Page, error) {
	var fit []ledger.Upload
	for _, u := range s.uploads {
		if u.State == q.State && (q.Account == "" || u.Account == q.Account) && (q.Since == 0 || u.EndedAt.After(now().Add(-q.Since))) {
			fit = append(fit, u)
		}
	}
	from, _ := strconv.Atoi(q.Cursor)
	to := min(from+q.Limit, len(fit))
	p := ledger.Page{Uploads: slices.Clone(fit[from:to])}
	if to < len(fit) {
		p.Cursor = strconv.Itoa(to)
	}
	s.read += len(p.Uploads)
	if !q.Full {
		return p, errors.New("without attempts there is nothing to tell")
	}
	return p, s.err
}

func now() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) ledger.Time { return ledger.Time{Time: now().Add(-d)} }

// attempt makes one that ended some time ago.
func attempt(n int, ended time.Duration, o ledger.Outcome) ledger.Attempt {
	a := ledger.Attempt{
		Number: n, StartedAt: ago(ended + time.Second), EndedAt: ago(ended), Outcome: o, HTTPStatus: 200, Code: "4003", Msg: "金额不符",
		RequestID: fmt.Sprint("req-", n, "-", ended),
	}
	if o == ledger.OutcomeUnclear {
		a.Code, a.Msg, a.HTTPStatus, a.RequestID = "", "", 0, ""
		a.Error = fmt.Sprintf("pandapon: no answer: read tcp 10.0.0.7:%d->203.0.113.5:443: i/o timeout", 50_000+n)
	}
	return a
}

func upload(n int, s ledger.State, attempts ...ledger.Attempt) ledger.Upload {
	u := ledger.Upload{ID: fmt.Sprint("default-", n), Account: "default", OrderID: fmt.Sprint("order-", n), State: s, Attempts: attempts}
	if s.Final() {
		u.EndedAt = attempts[len(attempts)-1].EndedAt
	}
	return u
}

func stage() *store {
	return &store{uploads: []ledger.Upload{
		upload(1, ledger.Rejected, attempt(1, 3*time.Hour, ledger.OutcomeRefused), attempt(2, time.Hour, ledger.OutcomeRefused), attempt(3, time.Minute, ledger.OutcomeRefused)),
		upload(2, ledger.Delivered, attempt(1, 90*time.Minute, ledger.OutcomeUnclear), attempt(2, 80*time.Minute, ledger.OutcomeUnclear), attempt(3, time.Hour, ledger.OutcomeDelivered)),
		upload(3, ledger.Delivered, attempt(1, time.Hour, ledger.OutcomeDelivered)),
		upload(4, ledger.Waiting, attempt(1, 30*time.Minute, ledger.OutcomeRefused), ledger.Attempt{Number: 2, StartedAt: ago(0)}),
		upload(5, ledger.Waiting, attempt(1, 5*time.Hour, ledger.OutcomeRefused)),
		upload(6, ledger.Queued),
	}}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r, err := incident.Collect(t.Context(), stage(), incident.Query{Since: 2 * time.Hour, Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	if r.Uploads != 3 || r.Cut || r.States[ledger.Rejected] != 1 || r.States[ledger.Delivered] != 1 || r.States[ledger.Waiting] != 1 || len(r.Groups) != 2 {
		t.Fatalf("report %+v", r)
	}
	refused, unclear := r.Groups[0], r.Groups[1]
	if refused.Attempts != 3 || refused.Uploads != 2 || refused.First != ago(time.Hour+time.Second) || refused.Last != ago(time.Minute+time.Second) ||
		len(refused.RequestIDs) != 3 || refused.Message != "金额不符" || refused.HTTPStatus != 200 {
		t.Errorf("refused %+v", refused)
	}
	if unclear.Attempts != 2 || unclear.Uploads != 1 || unclear.Message != "no answer: read tcp 203.0.113.5:443: i/o timeout" {
		t.Errorf("unclear %+v: one group, whatever our own port was", unclear)
	}
	english, chinese := r.Text(incident.English), r.Text(incident.Chinese)
	for _, want := range []string{"Affected uploads: 3 (now: 1 waiting, 1 delivered, 1 rejected)", "1. refused, HTTP 200, code 4003, message: 金额不符", "3 attempts of 2 uploads", "req-3-1m0s", "order-4"} {
		if !strings.Contains(english, want) {
			t.Errorf("the text lacks %q:\n%s", want, english)
		}
	}
	for _, want := range []string{"受影响的上传：3（目前：等待重试 1，已送达 1，被拒绝 1）", "接口拒绝", "代码 4003", "没有明确答复"} {
		if !strings.Contains(chinese, want) {
			t.Errorf("the text lacks %q:\n%s", want, chinese)
		}
	}
	for _, text := range []string{english, chinese} {
		if strings.Contains(text, "%!") || strings.Contains(text, "10.0.0.7") {
			t.Errorf("the text is:\n%s", text)
		}
	}
}

func TestReportOfNothing(t *testing.T) {
	t.Parallel()
	r, err := incident.Collect(t.Context(), stage(), incident.Query{Account: "other", Since: time.Hour, Now: now()})
	if text := r.Text(incident.English); err != nil || !strings.Contains(text, "No upload failed") || !strings.Contains(text, "Account: other") {
		t.Errorf("%v\n%s", err, text)
	}
	broken := stage()
	broken.err = errors.New("away")
	if _, err := incident.Collect(t.Context(), broken, incident.Query{Since: time.Hour, Now: now()}); !errors.Is(err, broken.err) {
		t.Errorf("error %v", err)
	}
}

// A report reads and shows a bounded part of a large incident, and says so.
func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	s := &store{}
	for i := range 3000 {
		a := attempt(i, time.Minute, ledger.OutcomeRefused)
		a.Msg = fmt.Sprint("no ", i)
		s.uploads = append(s.uploads, upload(i, ledger.Waiting, a))
	}
	r, err := incident.Collect(t.Context(), s, incident.Query{Since: time.Hour, Now: now(), Most: 1000})
	if err != nil || !r.Cut || r.Uploads != 1000 || s.read != 1000 {
		t.Fatalf("%d uploads of %d that were read, cut: %t, %v", r.Uploads, s.read, r.Cut, err)
	}
	attempts := 0
	for _, g := range r.Groups {
		attempts += g.Attempts
	}
	if len(r.Groups) != 201 || r.Groups[0].Message != "…" || attempts != 1000 || len(r.Groups[0].RequestIDs) != 20 || len(r.Orders) != 20 {
		t.Errorf("%d groups of %d attempts, the first %+v", len(r.Groups), attempts, r.Groups[0])
	}
	if text := r.Text(incident.English); !strings.Contains(text, "Not everything was read") {
		t.Errorf("the text does not say that it was cut:\n%.300s", text)
	}
}
