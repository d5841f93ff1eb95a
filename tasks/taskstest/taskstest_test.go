package taskstest_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/tasks/taskstest"
)

const order = "1022505290408395575"

func enqueue(t *testing.T, v *taskstest.Voucherd, order, content string) ledger.Upload {
	t.Helper()
	u, err := v.Client.Enqueue(t.Context(), tasks.Request{OrderID: order, Voucher: strings.NewReader("%PDF-1.7 " + content)})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDeliverAndReject(t *testing.T) {
	t.Parallel()
	v := taskstest.New(t)
	first, second := enqueue(t, v, order, "1"), enqueue(t, v, order, "2")
	if again := enqueue(t, v, order, "1"); !again.Duplicate || again.ID != first.ID {
		t.Errorf("the same voucher again is %+v", again)
	}
	if u := v.Deliver(first.ID); u.State != ledger.Delivered || u.RequestID == "" {
		t.Errorf("delivered: %+v", u)
	}
	if u := v.Reject(second.ID, "4001", "no such order"); u.State != ledger.Rejected || u.Code != "4001" || u.Msg != "no such order" {
		t.Errorf("rejected: %+v", u)
	}
	if u, err := v.Client.Wait(t.Context(), second.ID); err != nil || u.State != ledger.Rejected {
		t.Errorf("waited for: %+v %v", u, err)
	}
	if ended, err := v.Client.Finished(t.Context(), "", ledger.Time{}, 0); err != nil || len(ended.Uploads) != 2 {
		t.Errorf("ended %+v %v", ended, err)
	}
	// A rejected upload may be retried, and large vouchers go another way.
	if _, err := v.Client.Retry(t.Context(), second.ID, ledger.Who{}); err != nil {
		t.Error(err)
	}
	v.Deliver(second.ID)
	v.Deliver(enqueue(t, v, "2", strings.Repeat("x", 1<<20)).ID)
}

func TestManyRejectionsOpenNoBreaker(t *testing.T) {
	t.Parallel()
	v := taskstest.New(t)
	for i := range 8 {
		v.Reject(enqueue(t, v, order, strconv.Itoa(i)).ID, "4001", "no")
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	v := taskstest.New(t)
	before := enqueue(t, v, order, "1")
	v.Stop()
	_, err := v.Client.Enqueue(t.Context(), tasks.Request{OrderID: order, Voucher: strings.NewReader("%PDF-1.7 2")})
	if _, ok := errors.AsType[*tasks.UnreachableError](err); !ok {
		t.Errorf("enqueued while Redis is away: %v", err)
	}
	v.Start()
	v.Deliver(before.ID)
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB

	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true; panic(r) }

func TestWhatCannotBeFailsTheTest(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]func(v *taskstest.Voucherd) string{
		"unknown": func(*taskstest.Voucherd) string { return "default-abcdefghijklmnopqrstuvwxyz" },
		"behind":  func(v *taskstest.Voucherd) string { enqueue(t, v, order, "1"); return enqueue(t, v, order, "2").ID },
		"ended":   func(v *taskstest.Voucherd) string { return v.Deliver(enqueue(t, v, order, "1").ID).ID },
	} {
		r := &recorder{TB: t}
		v := taskstest.New(r)
		func() {
			defer func() { _ = recover() }()
			v.Deliver(id(v))
		}()
		if !r.failed {
			t.Errorf("%s: the test went on", name)
		}
	}
}
