package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// FaultKind names a way to fail.
type FaultKind string

// The kinds of fault. Those that lose the answer (hang, reset, cut-off, not-json) strike after the
// API has taken the voucher, unless Before is set; the answering kinds strike instead of it.
const (
	// Outage answers 503.
	Outage FaultKind = "outage"
	// Hang never answers: it holds until the caller leaves or the sandbox closes.
	Hang FaultKind = "hang"
	// Slow answers as it should, after Delay (5 s when not given).
	Slow FaultKind = "slow"
	// Reset drops the connection with a TCP reset. With Before and without OrderID it does so on
	// seeing the headers, while the body is on its way.
	Reset FaultKind = "reset"
	// CutOff sends half of the answer, then closes the connection.
	CutOff FaultKind = "cut-off"
	// NotJSON answers 200 with a page of HTML.
	NotJSON FaultKind = "not-json"
	// Throttle answers 429, with RetryAfter when given.
	Throttle FaultKind = "throttle"
	// Unauthorized answers 401.
	Unauthorized FaultKind = "unauthorized"
	// Gone answers 410.
	Gone FaultKind = "gone"
	// Refuse answers 200 with a code that is not 200 (CodeRefused when not given).
	Refuse FaultKind = "refuse"
	// Status answers with the HTTP status given. A 3xx carries a Location that leads back, so that
	// a caller who follows shows in the log.
	Status FaultKind = "status"
)

// Fault is a way to fail, when, and whom it strikes. Of the faults set, the first that is live,
// matches and wins its throw strikes; no request is struck twice. The zero value of every field but
// Kind means "no restriction" or "the default of the kind".
type Fault struct {
	Kind FaultKind `json:"kind"`
	// For ends the fault that long after it was set; 0 leaves it until replaced.
	For Duration `json:"for,omitzero"`
	// Probability is the chance that a matching request is struck; 0 means 1.
	Probability float64 `json:"probability,omitzero"`
	// Times ends the fault after so many strikes; 0 means no end.
	Times int `json:"times,omitzero"`
	// Code stands in the envelope. Default: the HTTP status, or CodeRefused beside a 2xx status.
	Code int `json:"code,omitzero"`
	// Status replaces the HTTP status of the kinds that answer; 200 to 599.
	Status int `json:"status,omitzero"`
	// Msg stands in the envelope.
	Msg string `json:"msg,omitzero"`
	// RetryAfter is sent as the Retry-After header, as it stands; empty sends none.
	RetryAfter string `json:"retryAfter,omitzero"`
	// Delay passes before the fault strikes.
	Delay Duration `json:"delay,omitzero"`
	// OrderID and UserID restrict the fault to that order, that sub-account.
	OrderID string `json:"orderId,omitzero"`
	UserID  string `json:"userId,omitzero"`
	// Before makes a fault that loses the answer, or a slow one, strike before the API has taken
	// the voucher.
	Before bool `json:"before,omitzero"`
}

// defaultSlowness is the delay of a slow fault that names none: long enough to see, well under a
// caller's usual time-out.
const defaultSlowness = 5 * time.Second

// Validate says what is wrong with f, in the words of the JSON form.
func (f Fault) Validate() error {
	if !f.Kind.known() {
		return fmt.Errorf("fault kind %q is unknown: use outage, hang, slow, reset, cut-off, not-json, throttle, unauthorized, gone, refuse or status", f.Kind)
	}
	var errs []error
	check := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, fmt.Errorf("fault %s: %s", f.Kind, complaint))
		}
	}
	check(f.For >= 0, "for is negative")
	check(f.Delay >= 0, "delay is negative")
	check(f.Times >= 0, "times is negative")
	check(f.Probability >= 0 && f.Probability <= 1, "probability is not between 0 and 1")
	check(f.Status == 0 || f.Status >= 200 && f.Status <= 599, "status is not between 200 and 599")
	check(f.Kind != Status || f.Status != 0, "status is missing")
	check(f.Kind != Refuse || f.Code != CodeSuccess, "code 200 is no refusal")
	return errors.Join(errs...)
}

func (k FaultKind) known() bool {
	return k == Slow || k.losesAnswer() || k.answers()
}

func (k FaultKind) losesAnswer() bool {
	return k == Hang || k == Reset || k == CutOff || k == NotJSON
}

func (k FaultKind) answers() bool {
	return k == Status || k == Refuse || k.status() != http.StatusOK
}

// status is the HTTP status that a kind answers with by itself.
func (k FaultKind) status() int {
	return cmp.Or(map[FaultKind]int{
		Outage: http.StatusServiceUnavailable, Throttle: http.StatusTooManyRequests,
		Unauthorized: http.StatusUnauthorized, Gone: http.StatusGone,
	}[k], http.StatusOK)
}

// httpStatus is the HTTP status f answers with.
func (f Fault) httpStatus() int { return cmp.Or(f.Status, f.Kind.status()) }

// code is the envelope code f answers with.
func (f Fault) code() int {
	status := f.httpStatus()
	switch {
	case f.Code != 0:
		return f.Code
	case status >= 200 && status <= 299:
		return CodeRefused
	default:
		return status
	}
}

// sparesVoucher says that the API takes the voucher although f strikes.
func (f Fault) sparesVoucher() bool {
	if f.Kind.answers() {
		return f.httpStatus() <= 299 && f.code() == CodeSuccess
	}
	return !f.Before
}

// delay is how long f waits before it strikes.
func (f Fault) delay() time.Duration {
	if f.Kind == Slow && f.Delay == 0 {
		return defaultSlowness
	}
	return time.Duration(f.Delay)
}

// strikesEarly says that f strikes before the body is read.
func (f Fault) strikesEarly() bool {
	return f.Kind == Reset && f.Before && f.OrderID == ""
}
