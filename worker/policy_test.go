package worker_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/worker"
)

func answered(status int, code string) *pandapon.Error {
	return &pandapon.Error{
		Kind: pandapon.Answered, HTTPStatus: status, Envelope: pandapon.Envelope{Code: code}, Err: errors.New("refused"),
	}
}

func steady() worker.Policy { return worker.Policy{Jitter: -1}.WithDefaults() }

// TestEveryStatus holds the outcome table against every HTTP status there can be. What is listed is
// the exception, by its own row; the ranges are the rest.
func TestEveryStatus(t *testing.T) {
	t.Parallel()
	type row struct {
		outcome ledger.Outcome
		fault   ledger.Fault
	}
	own := map[int]row{
		429: {ledger.OutcomeThrottled, ""},
		401: {ledger.OutcomeRefused, ledger.FaultCredentials},
		403: {ledger.OutcomeRefused, ledger.FaultCredentials},
		404: {ledger.OutcomeRefused, ledger.FaultEndpoint},
		405: {ledger.OutcomeRefused, ledger.FaultEndpoint},
		410: {ledger.OutcomeRefused, ledger.FaultEndpoint},
		501: {ledger.OutcomeRefused, ledger.FaultEndpoint},
		408: {ledger.OutcomeUnavailable, ""},
		425: {ledger.OutcomeUnavailable, ""},
		502: {ledger.OutcomeUnclear, ""},
		504: {ledger.OutcomeUnclear, ""},
	}
	ranges := []row{
		1: {ledger.OutcomeUnclear, ""},
		2: {ledger.OutcomeRefused, ledger.FaultRefusing},
		3: {ledger.OutcomeUnclear, ""},
		4: {ledger.OutcomeRefused, ledger.FaultRefusing},
		5: {ledger.OutcomeUnavailable, ""},
	}
	for status := 100; status <= 599; status++ {
		want, ok := own[status]
		if !ok {
			want = ranges[status/100]
		}
		o := steady().Decide(pandapon.Receipt{}, answered(status, "500"), worker.Tried{})
		if o.Outcome != want.outcome || o.Fault != want.fault || o.HTTPStatus != status {
			t.Errorf("HTTP %d: %s %q, want %s %q", status, o.Outcome, o.Fault, want.outcome, want.fault)
		}
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	p := steady()
	p.CodesFinal, p.CodesThrottled, p.CodesCredentials = []string{"1001"}, []string{"1002"}, []string{"1003"}
	for _, c := range []struct {
		status int
		code   string
		want   ledger.Outcome
		fault  ledger.Fault
		next   ledger.State
	}{
		{200, "1001", ledger.OutcomeRefused, ledger.FaultFinal, ledger.Rejected},
		{200, "1002", ledger.OutcomeThrottled, "", ledger.Waiting},
		{500, "1002", ledger.OutcomeThrottled, "", ledger.Waiting},
		{200, "1003", ledger.OutcomeRefused, ledger.FaultCredentials, ledger.Waiting},
		{400, "1003", ledger.OutcomeRefused, ledger.FaultCredentials, ledger.Waiting},
		{400, "1001", ledger.OutcomeRefused, ledger.FaultRefusing, ledger.Waiting}, // final only behind a 2xx
		{200, "1004", ledger.OutcomeRefused, ledger.FaultRefusing, ledger.Waiting},
		{429, "1001", ledger.OutcomeThrottled, "", ledger.Waiting},
	} {
		o := p.Decide(pandapon.Receipt{}, answered(c.status, c.code), worker.Tried{})
		if o.Outcome != c.want || o.Fault != c.fault || o.Next != c.next {
			t.Errorf("HTTP %d code %s: %s %q %s, want %s %q %s", c.status, c.code, o.Outcome, o.Fault, o.Next, c.want, c.fault, c.next)
		}
	}
}

func TestWhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want ledger.Outcome
		next ledger.State
	}{
		{"never sent", &pandapon.Error{Kind: pandapon.NotSent, Err: io.EOF}, ledger.OutcomeUnavailable, ledger.Waiting},
		{"no answer", &pandapon.Error{Kind: pandapon.NoAnswer, Err: io.EOF}, ledger.OutcomeUnclear, ledger.Waiting},
		{"not JSON", &pandapon.Error{Kind: pandapon.NoAnswer, HTTPStatus: 200, Err: io.EOF}, ledger.OutcomeUnclear, ledger.Waiting},
		{"unknown", errors.New("?"), ledger.OutcomeUnclear, ledger.Waiting},
		{"missing", fmt.Errorf("open: %w", blob.ErrMissing), ledger.OutcomeInvalid, ledger.Rejected},
		{"damaged", &pandapon.Error{Kind: pandapon.NotSent, Err: fmt.Errorf("read: %w", blob.ErrDamaged)}, ledger.OutcomeInvalid, ledger.Rejected},
	} {
		o := steady().Decide(pandapon.Receipt{}, c.err, worker.Tried{})
		if o.Outcome != c.want || o.Next != c.next || o.Error == "" {
			t.Errorf("%s: %+v, want %s %s", c.name, o, c.want, c.next)
		}
	}
	o := steady().Decide(pandapon.Receipt{HTTPStatus: 200, Envelope: pandapon.Envelope{Code: "200", RequestID: "r"}}, nil, worker.Tried{Age: 1000 * time.Hour})
	if o.Outcome != ledger.OutcomeDelivered || o.Next != ledger.Delivered || o.RequestID != "r" {
		t.Errorf("success: %+v", o)
	}
}

func TestRetryAfterIsKeptWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status    int
		has       bool
		told, got time.Duration
	}{
		{429, true, 3 * time.Second, 3 * time.Second},
		{429, true, 0, time.Second},
		{429, true, 48 * time.Hour, time.Hour},
		{429, false, 0, 0},
		{503, true, 20 * time.Second, 20 * time.Second},
		{503, false, 0, 0},
		{500, true, 20 * time.Second, 0},
		{401, true, 20 * time.Second, 0},
	} {
		e := answered(c.status, "")
		e.HasRetryAfter, e.RetryAfter = c.has, c.told
		if o := steady().Decide(pandapon.Receipt{}, e, worker.Tried{}); o.Hold != c.got {
			t.Errorf("HTTP %d, Retry-After %v %v: held %v, want %v", c.status, c.has, c.told, o.Hold, c.got)
		}
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	p := steady()
	short := []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute}
	for n, want := range short {
		if o := p.Decide(pandapon.Receipt{}, answered(http.StatusServiceUnavailable, ""), worker.Tried{Unanswered: n}); o.Delay != want {
			t.Errorf("unanswered %d: %v, want %v", n, o.Delay, want)
		}
	}
	long := []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	}
	for n, want := range long {
		if o := p.Decide(pandapon.Receipt{}, answered(200, "7"), worker.Tried{Refusals: n}); o.Delay != want || o.Next != ledger.Waiting {
			t.Errorf("refusal %d: %v %s, want %v", n, o.Delay, o.Next, want)
		}
	}
	if o := p.Decide(pandapon.Receipt{}, answered(200, "7"), worker.Tried{Refusals: 7}); o.Next != ledger.Rejected {
		t.Errorf("the eighth refusal leaves it %s, want rejected", o.Next)
	}
}

func TestAgeLimit(t *testing.T) {
	t.Parallel()
	old := worker.Tried{Age: 7*24*time.Hour + time.Second}
	for _, status := range []int{503, 200, 401, 502} {
		if o := steady().Decide(pandapon.Receipt{}, answered(status, "7"), old); o.Next != ledger.Expired {
			t.Errorf("HTTP %d after the age limit: %s, want expired", status, o.Next)
		}
	}
}

func TestJitterStaysWithinAFifth(t *testing.T) {
	t.Parallel()
	p := worker.Policy{}.WithDefaults()
	differs := false
	for range 500 {
		o := p.Decide(pandapon.Receipt{}, answered(503, ""), worker.Tried{})
		if o.Delay < 4*time.Second || o.Delay > 6*time.Second {
			t.Fatalf("delay %v, want 5 s ± 20 %%", o.Delay)
		}
		differs = differs || o.Delay != 5*time.Second
	}
	if !differs {
		t.Error("no jitter at all")
	}
}
