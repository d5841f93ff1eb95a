package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func TestFaultsThatAnswer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fault        sandbox.Fault
		status, code int
		retryAfter   string
		accepted     bool
	}{
		"outage":           {sandbox.Fault{Kind: sandbox.Outage}, 503, 503, "", false},
		"outage as 500":    {sandbox.Fault{Kind: sandbox.Outage, Status: 500, RetryAfter: "7"}, 500, 500, "7", false},
		"throttle":         {sandbox.Fault{Kind: sandbox.Throttle, RetryAfter: "3"}, 429, 429, "3", false},
		"throttle by code": {sandbox.Fault{Kind: sandbox.Throttle, Status: 200, Code: 77}, 200, 77, "", false},
		"unauthorized":     {sandbox.Fault{Kind: sandbox.Unauthorized}, 401, 401, "", false},
		"gone":             {sandbox.Fault{Kind: sandbox.Gone}, 410, 410, "", false},
		"refuse":           {sandbox.Fault{Kind: sandbox.Refuse}, 200, sandbox.CodeRefused, "", false},
		"refuse by code":   {sandbox.Fault{Kind: sandbox.Refuse, Code: 40001}, 200, 40001, "", false},
		"status 404":       {sandbox.Fault{Kind: sandbox.Status, Status: 404, Code: 5}, 404, 5, "", false},
		"status 201":       {sandbox.Fault{Kind: sandbox.Status, Status: 201}, 201, sandbox.CodeRefused, "", false},
		"201 and code 200": {sandbox.Fault{Kind: sandbox.Status, Status: 201, Code: 200}, 201, 200, "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Config{}, c.fault)
			a := b.upload(t, orderID)
			if a.status != c.status || a.text("code") != strconv.Itoa(c.code) || a.header.Get("Retry-After") != c.retryAfter {
				t.Errorf("answer %d %q %s, %v", a.status, a.header.Get("Retry-After"), a.body, a.err)
			}
			if len(a.text("requestId")) != 32 || len(a.text("developId")) != 19 || a.text("msg") == "" {
				t.Errorf("envelope %s", a.body)
			}
			got := b.only(t)
			if got.Fault != c.fault.Kind || got.HTTPStatus != c.status || got.Code != c.code || got.Accepted != c.accepted ||
				!got.Complete || got.Problem != "" || got.RequestID != a.text("requestId") {
				t.Errorf("logged %+v", got)
			}
		})
	}
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	for status := 200; status <= 599; status++ {
		b.SetFaults(sandbox.Fault{Kind: sandbox.Status, Status: status, Msg: "as told"})
		a := b.upload(t, orderID)
		if a.err != nil || a.status != status {
			t.Fatalf("answer %d, %v, want %d", a.status, a.err, status)
		}
		bare := status == http.StatusNoContent || status == http.StatusNotModified
		if (a.text("msg") != "as told") != bare {
			t.Errorf("status %d: body %s", status, a.body)
		}
		if back := a.header.Get("Location"); (back == uploadPath+"?redirected") != (status/100 == 3) {
			t.Errorf("status %d: Location %q", status, back)
		}
	}
}

func TestFaultsThatLoseTheAnswer(t *testing.T) {
	t.Parallel()
	check := map[sandbox.FaultKind]func(*testing.T, answer){
		sandbox.Reset: func(t *testing.T, a answer) {
			t.Helper()
			if !errors.Is(a.err, syscall.ECONNRESET) && !errors.Is(a.err, syscall.EPIPE) {
				t.Errorf("error %v, want a reset", a.err)
			}
		},
		sandbox.CutOff: func(t *testing.T, a answer) {
			t.Helper()
			if a.status != 200 || !errors.Is(a.err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(a.body, []byte(`{"requestId":"`)) || json.Valid(a.body) {
				t.Errorf("answer %d %s, %v", a.status, a.body, a.err)
			}
		},
		sandbox.NotJSON: func(t *testing.T, a answer) {
			t.Helper()
			if a.status != 200 || a.err != nil || a.header.Get("Content-Type") != "text/html" || json.Valid(a.body) {
				t.Errorf("answer %d %s, %v", a.status, a.body, a.err)
			}
		},
	}
	for kind, check := range check {
		for _, before := range []bool{false, true} {
			t.Run(string(kind)+" before "+strconv.FormatBool(before), func(t *testing.T) {
				t.Parallel()
				b := newBox(t, sandbox.Config{}, sandbox.Fault{Kind: kind, Before: before, OrderID: orderID})
				check(t, b.upload(t, orderID))
				got := b.only(t)
				if got.Fault != kind || got.Accepted == before || !got.Complete || got.Code != 0 || (got.RequestID == "") != before {
					t.Errorf("logged %+v", got)
				}
			})
		}
	}
}

// A reset before the order is known strikes while the body is on its way.
func TestResetInMidUpload(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{}, sandbox.Fault{Kind: sandbox.Reset, Before: true})
	endless := io.MultiReader(strings.NewReader(`{"base64":"`), letters{})
	a := b.call(t.Context(), http.MethodPost, uploadPath, headers(time.Now()), endless)
	if a.err == nil {
		t.Errorf("answer %d, want an error", a.status)
	}
	if got := b.only(t); got.Complete || got.Accepted || got.Fault != sandbox.Reset || got.HTTPStatus != 0 {
		t.Errorf("logged %+v", got)
	}
}

func TestHangUntilTheCallerLeaves(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{false, true} {
		b := newBox(t, sandbox.Config{}, sandbox.Fault{Kind: sandbox.Hang, Before: before})
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan answer)
		go func() {
			done <- b.call(ctx, http.MethodPost, uploadPath, headers(time.Now()), strings.NewReader(uploadBody(orderID, []byte("x"))))
		}()
		b.waitFor(t, "the call hangs", func(log []sandbox.Request) bool {
			return len(log) == 1 && log[0].Fault == sandbox.Hang && log[0].Accepted != before && log[0].AnsweredAt.IsZero()
		})
		leave()
		if a := <-done; !errors.Is(a.err, context.Canceled) {
			t.Errorf("call ended with %d, %v", a.status, a.err)
		}
		if got := b.only(t); got.HTTPStatus != 0 || got.Accepted == before {
			t.Errorf("logged %+v", got)
		}
	}
}

func TestCloseEndsHangAndDelay(t *testing.T) {
	t.Parallel()
	for _, fault := range []sandbox.Fault{
		{Kind: sandbox.Hang},
		{Kind: sandbox.Hang, Delay: sandbox.Duration(time.Hour)},
		{Kind: sandbox.Slow, Delay: sandbox.Duration(time.Hour)},
		{Kind: sandbox.Slow, Delay: sandbox.Duration(time.Hour), Before: true},
		{Kind: sandbox.Outage, Delay: sandbox.Duration(time.Hour)},
		{Kind: sandbox.NotJSON, Delay: sandbox.Duration(time.Hour)},
		{Kind: sandbox.Reset, Delay: sandbox.Duration(time.Hour)},
	} {
		b := newBox(t, sandbox.Config{}, fault)
		done := make(chan answer)
		go func() { done <- b.upload(t, orderID) }()
		b.waitFor(t, "the call waits", func(log []sandbox.Request) bool { return len(log) == 1 && log[0].Fault == fault.Kind })
		b.Close()
		b.Close() // does no harm
		if a := <-done; a.err == nil {
			t.Errorf("%+v: answer %d, want none", fault, a.status)
		}
		if got := b.only(t); got.HTTPStatus != 0 {
			t.Errorf("logged %+v", got)
		}
	}
}

func TestSlownessAndDelay(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		delay  time.Duration
		faults []sandbox.Fault
		want   time.Duration
	}{
		"healthy at once": {0, nil, 0},
		"healthy delay":   {3 * time.Second, nil, 3 * time.Second},
		"slow":            {time.Second, []sandbox.Fault{{Kind: sandbox.Slow}}, 5 * time.Second},
		"slow as told":    {0, []sandbox.Fault{{Kind: sandbox.Slow, Delay: sandbox.Duration(time.Minute)}}, time.Minute},
		"slow before":     {0, []sandbox.Fault{{Kind: sandbox.Slow, Delay: sandbox.Duration(time.Minute), Before: true}}, time.Minute},
		"late outage":     {0, []sandbox.Fault{{Kind: sandbox.Outage, Delay: sandbox.Duration(2 * time.Second)}}, 2 * time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{account()}, Delay: c.delay, CheckNonce: true})
				s.SetFaults(c.faults...)
				start := time.Now()
				serve(t, s, headers(start), uploadBody(orderID, []byte("x")))
				if took := time.Since(start); took != c.want {
					t.Errorf("took %s, want %s", took, c.want)
				}
				got := s.Requests()[0]
				if late := len(c.faults) > 0 && c.faults[0].Kind == sandbox.Outage; got.Accepted == late {
					t.Errorf("logged %+v", got)
				}
				if got.AnsweredAt.Sub(got.At) != c.want {
					t.Errorf("logged %s, want %s", got.AnsweredAt.Sub(got.At), c.want)
				}
			})
		})
	}
}

// serve makes an upload without a network between.
func serve(t *testing.T, s *sandbox.Sandbox, h http.Header, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, uploadPath, strings.NewReader(body))
	r.Header = h
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
