package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func TestConcurrentUploads(t *testing.T) {
	t.Parallel()
	const callers, each = 16, 20
	b := newBox(t, sandbox.Config{CheckNonce: true, Seed: 3},
		sandbox.Fault{Kind: sandbox.Outage, Probability: 0.2},
		sandbox.Fault{Kind: sandbox.Reset, Probability: 0.2},
		sandbox.Fault{Kind: sandbox.CutOff, Probability: 0.2},
	)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				b.upload(t, strconv.Itoa(caller*each+i))
			}
		})
	}
	b.waitFor(t, "all are answered", func(log []sandbox.Request) bool {
		answered := 0
		for _, r := range log {
			if !r.AnsweredAt.IsZero() {
				answered++
			}
		}
		return answered == callers*each
	})
	wg.Wait()
	orders, ids := map[string]bool{}, map[string]bool{}
	for i, r := range b.Requests() {
		if r.Number != i+1 || !r.Complete || r.Problem != "" || r.Accepted == (r.Fault == sandbox.Outage) {
			t.Errorf("logged %+v at place %d", r, i)
		}
		orders[r.OrderID] = true
		ids[r.RequestID] = true
	}
	if len(orders) != callers*each || len(ids) != callers*each {
		t.Errorf("%d orders, %d request ids, want %d", len(orders), len(ids), callers*each)
	}
}

func TestRequestsIsACopy(t *testing.T) {
	t.Parallel()
	s := newSandbox(sandbox.Config{})
	upload(t, s, orderID)
	s.Requests()[0].OrderID = "changed"
	if got := s.Requests()[0].OrderID; got != orderID {
		t.Errorf("order id is %q", got)
	}
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	s := newSandbox(sandbox.Config{MaxRequests: 3})
	for range 5 {
		upload(t, s, orderID)
	}
	log := s.Requests()
	if len(log) != 3 || log[0].Number != 3 || log[2].Number != 5 {
		t.Errorf("log %+v, want numbers 3 to 5", log)
	}
	upload(t, s, strings.Repeat("7", 1000))
	if got := s.Requests()[2].OrderID; len(got) != 256 {
		t.Errorf("an order id of %d bytes is kept", len(got))
	}
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	s := newSandbox(sandbox.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	err := s.Wait(ctx, func([]sandbox.Request) bool { asked++; cancel(); return false })
	if !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("error %v after %d questions", err, asked)
	}
}

// A waiter sees every change: arrivals, answers, a log that was emptied and one that has dropped
// its oldest.
func TestWaitFollowsTheLog(t *testing.T) {
	t.Parallel()
	s := newSandbox(sandbox.Config{MaxRequests: 4})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	steps := []struct {
		do    func()
		until []int // numbers in the log
	}{
		{func() {}, nil},
		{func() { upload(t, s, "1"); upload(t, s, "2") }, []int{1, 2}},
		{func() { upload(t, s, "3"); upload(t, s, "4"); upload(t, s, "5") }, []int{2, 3, 4, 5}},
		{func() { clearLog(t, s) }, nil},
		{func() { upload(t, s, "6") }, []int{6}},
		{func() {
			for range 9 {
				upload(t, s, "7")
			}
		}, []int{12, 13, 14, 15}},
	}
	for i, step := range steps {
		var work sync.WaitGroup
		work.Go(step.do) // while somebody waits
		err := s.Wait(ctx, func(log []sandbox.Request) bool { return sameNumbers(log, step.until) })
		if work.Wait(); err != nil {
			t.Fatalf("step %d: %v, log %+v", i, err, s.Requests())
		}
	}
}

func sameNumbers(log []sandbox.Request, numbers []int) bool {
	if len(log) != len(numbers) {
		return false
	}
	for i, r := range log {
		if r.Number != numbers[i] || r.AnsweredAt.IsZero() {
			return false
		}
	}
	return true
}

func clearLog(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/_sandbox/requests", nil))
	if w.Code != http.StatusNoContent {
		t.Errorf("DELETE answered %d", w.Code)
	}
}

// A watched log must not cost its length at every call. A copy at every change would move 200 GB
// here; the deadline is far from both.
func TestLogScales(t *testing.T) {
	t.Parallel()
	const calls = 40_000
	s := newSandbox(sandbox.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/nowhere", nil)
		for range calls {
			s.ServeHTTP(httptest.NewRecorder(), r)
		}
	})
	err := s.Wait(ctx, func(log []sandbox.Request) bool {
		return len(log) == calls && !log[calls-1].AnsweredAt.IsZero()
	})
	if err != nil {
		t.Fatal(err)
	}
	if log := s.Requests(); log[calls-1].Number != calls {
		t.Errorf("last number %d", log[calls-1].Number)
	}
}
