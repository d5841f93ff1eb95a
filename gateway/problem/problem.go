// Package problem is how the gateway refuses: the kinds of problem, the errors of ledger, blob
// store and queue as problems, and how a problem is written as problem+json (RFC 9457).
package problem

import (
	"net/http"
	"strconv"
	"time"
)

// Error is why a request is refused, as its caller may know it. It goes out as problem+json, or in
// PandaPon's envelope. Its texts hold no secret, no voucher and no address of ours.
type Error struct {
	Kind       Kind
	Detail     string // a sentence that says what to do
	Field      string // the request's field at fault
	State      string // the upload's
	Allow      string // methods that the path takes
	RetryAfter time.Duration
	Cause      error // for the log alone
}

func (e *Error) Error() string { return string(e.Kind) + ": " + e.Detail }

func (e *Error) Unwrap() error { return e.Cause }

// document is how a problem is written. Members that do not apply are left out.
type document struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
	Field    string `json:"field,omitempty"`
	State    string `json:"state,omitempty"`
}

// Write answers with the problem. The request id may be empty. Headers are the caller's to set
// first, by SetHeaders.
func (e *Error) Write(w http.ResponseWriter, requestID string) {
	body := document{
		Type: "urn:voucherd:problem:" + string(e.Kind), Title: e.Kind.Title(), Status: e.Kind.Status(),
		Detail: e.Detail, Field: e.Field, State: e.State,
	}
	if requestID != "" {
		body.Instance = "urn:voucherd:request:" + requestID
	}
	writeJSON(w, "application/problem+json", e.Kind.Status(), body)
}

// SetHeaders sets what a refusal says in headers, whatever its body is.
func (e *Error) SetHeaders(h http.Header) {
	if e.Allow != "" {
		h.Set("Allow", e.Allow)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if e.Kind == Unauthorized {
		h.Add("WWW-Authenticate", `Bearer realm="voucherd"`)
		h.Add("WWW-Authenticate", `Basic realm="voucherd", charset="UTF-8"`)
	}
	if s := e.Kind.Status(); s == http.StatusRequestTimeout || s == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // the rest of the body is of no use
	}
}
