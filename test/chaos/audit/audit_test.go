package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

func at(ms int) time.Time { return time.UnixMilli(1_700_000_000_000 + int64(ms)).UTC() }

// agreeing gives facts of two vouchers of one order that all agree: the first needed two attempts,
// because its answer was lost.
func agreeing() audit.Facts {
	attempt := func(n, from, to int, v ledger.Outcome, nonce, request string) ledger.Attempt {
		a := ledger.Attempt{
			Number: n, StartedAt: ledger.Time{Time: at(from)}, EndedAt: ledger.Time{Time: at(to)}, Outcome: v, Nonce: nonce,
			RequestID: request, Worker: "w1",
		}
		if request != "" {
			a.HTTPStatus = 200
		}
		return a
	}
	request := func(n, from, to int, nonce, sha, id string) sandbox.Request {
		return sandbox.Request{
			Number: n, At: at(from), AnsweredAt: at(to), Nonce: nonce, OrderID: "o", SHA256: sha, Complete: true, Accepted: true,
			HTTPStatus: 200, Code: 200, RequestID: id,
		}
	}
	lost := request(1, 10, 20, "n1", "s1", "r1")
	lost.HTTPStatus, lost.Code, lost.Fault = 0, 0, sandbox.Reset
	return audit.Facts{
		Enqueued: []audit.Enqueued{
			{UploadID: "u1", Account: "main", OrderID: "o", SHA256: "s1", Place: 0},
			{UploadID: "u2", Account: "main", OrderID: "o", SHA256: "s2", Place: 1},
		},
		Uploads: map[string]ledger.Upload{
			"u1": {
				ID: "u1", Account: "main", OrderID: "o", SHA256: "s1", State: ledger.Delivered, AttemptCount: 2,
				Attempts: []ledger.Attempt{
					attempt(1, 5, 25, ledger.OutcomeUnclear, "n1", ""), attempt(2, 30, 50, ledger.OutcomeDelivered, "n2", "r2"),
				},
			},
			"u2": {
				ID: "u2", Account: "main", OrderID: "o", SHA256: "s2", State: ledger.Delivered, AttemptCount: 1,
				Attempts: []ledger.Attempt{attempt(1, 60, 80, ledger.OutcomeDelivered, "n3", "r3")},
			},
		},
		Requests: []sandbox.Request{
			lost, request(2, 35, 45, "n2", "s1", "r2"), request(3, 65, 75, "n3", "s2", "r3"),
		},
		Found:       map[string][]string{"r2": {"u1"}, "r3": {"u2"}},
		ThrottleFor: time.Second,
	}
}

func broken(r audit.Result) (names []string) {
	for _, c := range r.Checks {
		if c.Broken > 0 {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestAgreeingFacts(t *testing.T) {
	t.Parallel()
	r := audit.Run(agreeing())
	if b := broken(r); len(b) > 0 {
		t.Errorf("broken: %q", b)
	}
	if len(r.Resent) != 1 || r.Resent[0].UploadID != "u1" || len(r.Resent[0].Attempts) != 2 {
		t.Errorf("sent twice: %+v", r.Resent)
	}
	if r.Attempts[1] != 1 || r.Attempts[2] != 1 || r.Outcomes[ledger.OutcomeUnclear] != 1 {
		t.Errorf("counted %v and %v", r.Attempts, r.Outcomes)
	}
}

// change alters one upload's attempt.
func change(f *audit.Facts, id string, n int, do func(*ledger.Attempt)) {
	do(&f.Uploads[id].Attempts[n])
}

// TestEveryBreachIsFound breaks what must hold, one thing at a time.
func TestEveryBreachIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(*audit.Facts)
		want  string // part of the name of a check that must be broken
	}{
		{"an upload is not in the ledger", func(f *audit.Facts) { delete(f.Uploads, "u2") }, "is delivered"},
		{"an upload is still waiting", func(f *audit.Facts) {
			u := f.Uploads["u2"]
			u.State = ledger.Waiting
			f.Uploads["u2"] = u
		}, "is delivered"},
		{"delivered, but it never arrived", func(f *audit.Facts) { f.Requests = f.Requests[:2] }, "is delivered"},
		{"nobody enqueued it", func(f *audit.Facts) { f.Enqueued = f.Enqueued[:1] }, "not enqueued"},
		{"a request without an attempt", func(f *audit.Facts) { f.Requests[2].Nonce = "other" }, "is recorded"},
		{"a request sent twice with one nonce", func(f *audit.Facts) { f.Requests = append(f.Requests, f.Requests[2]) }, "is recorded"},
		{"a request with another's voucher", func(f *audit.Facts) { f.Requests[2].SHA256 = "s1" }, "is recorded"},
		{"an attempt that is counted and not kept", func(f *audit.Facts) {
			u := f.Uploads["u2"]
			u.AttemptCount = 2
			f.Uploads["u2"] = u
		}, "is recorded"},
		{"an attempt that never ended", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = "" })
		}, "contradicts"},
		{"unavailable, and it was taken", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeUnavailable })
		}, "contradicts"},
		{"delivered, and it was not taken", func(f *audit.Facts) { f.Requests[2].Accepted = false }, "contradicts"},
		{"the blob store lost it", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeInvalid })
		}, "contradicts"},
		{"a request id was not written down", func(f *audit.Facts) {
			change(f, "u2", 0, func(a *ledger.Attempt) { a.RequestID = "" })
		}, "came back is found"},
		{"a request id is not found", func(f *audit.Facts) { delete(f.Found, "r3") }, "came back is found"},
		{"a request id in the ledger is not found", func(f *audit.Facts) { delete(f.Found, "r3") }, "in the ledger is found"},
		{"sent again after it was delivered", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeDelivered })
		}, "sent again"},
		{"interrupted by nobody", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeInterrupted })
		}, "interrupted only"},
		{"killed long before", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeInterrupted })
			f.Killed = map[string]time.Time{"w1": at(-60_000)}
		}, "interrupted only"},
		{"killed long after", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeInterrupted })
			f.Killed = map[string]time.Time{"w1": at(60_000)}
		}, "interrupted only"},
		{"sent, and not written down when Redis was back", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeInterrupted })
			f.RedisAway = []audit.Span{{From: at(0), To: at(3000)}}
		}, "interrupted only"},
		{"sent again after it was delivered, by a worker that was frozen later", func(f *audit.Facts) {
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeDelivered })
			f.Frozen = map[string][]audit.Span{"w1": {{From: at(36), To: at(3000)}}}
		}, "sent again"},
		{"the second voucher came first", func(f *audit.Facts) { f.Enqueued[0].Place, f.Enqueued[1].Place = 1, 0 }, "in the order"},
		{"two at a time", func(f *audit.Facts) { f.Requests[2].At = at(40) }, "at a time"},
		{"a call while the account was told to wait", func(f *audit.Facts) {
			f.Requests[0].Fault, f.Requests[0].Accepted = sandbox.Throttle, false
			change(f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeThrottled })
			f.Requests[2].At = at(500)
		}, "told its account to wait"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := agreeing()
			c.spoil(&f)
			if found := strings.Join(broken(audit.Run(f)), "; "); !strings.Contains(found, c.want) {
				t.Errorf("broken: %q, want %q among them", found, c.want)
			}
		})
	}
}

// TestExcuses holds that what was meant is no breach.
func TestExcuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*audit.Facts)
	}{
		{"interrupted by a kill", func(f *audit.Facts) { f.Killed = map[string]time.Time{"w1": at(15)} }},
		{"interrupted by a freeze", func(f *audit.Facts) { f.Frozen = map[string][]audit.Span{"w1": {{From: at(15), To: at(3000)}}} }},
		{"unsent while Redis was away", func(f *audit.Facts) {
			f.RedisAway = []audit.Span{{From: at(0), To: at(3000)}}
			f.Requests = f.Requests[1:]
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := agreeing()
			change(&f, "u1", 0, func(a *ledger.Attempt) { a.Outcome = ledger.OutcomeInterrupted })
			c.change(&f)
			r := audit.Run(f)
			if b := broken(r); len(b) > 0 {
				t.Errorf("broken: %q", b)
			}
			if len(r.Resumed) != 1 || r.Resumed[0] != 25*time.Millisecond {
				t.Errorf("went on after %v, want 25ms", r.Resumed)
			}
		})
	}
	t.Run("delivered late by a worker that was frozen, and sent again meanwhile", func(t *testing.T) {
		t.Parallel()
		f := agreeing()
		change(&f, "u1", 0, func(a *ledger.Attempt) { a.Outcome, a.RequestID, a.HTTPStatus = ledger.OutcomeDelivered, "r1", 200 })
		f.Frozen = map[string][]audit.Span{"w1": {{From: at(15), To: at(3000)}}}
		f.Found["r1"] = []string{"u1"}
		if b := broken(audit.Run(f)); len(b) > 0 {
			t.Errorf("broken: %q", b)
		}
	})
	t.Run("retried uploads join the end of their order queue", func(t *testing.T) {
		t.Parallel()
		f := agreeing()
		f.Enqueued[0].Place, f.Enqueued[1].Place = 1, 0
		f.RetriedFrom = at(1)
		if b := broken(audit.Run(f)); len(b) > 0 {
			t.Errorf("broken: %q", b)
		}
	})
	t.Run("the worker gave up before the API noticed", func(t *testing.T) {
		t.Parallel()
		f := agreeing()
		f.Requests[0].AnsweredAt = at(40)
		if b := broken(audit.Run(f)); len(b) > 0 {
			t.Errorf("broken: %q", b)
		}
	})
}
