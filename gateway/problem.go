package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// problemKind names what went wrong, for programs: it is the end of a problem's type.
type problemKind string

const (
	problemUnauthorized  problemKind = "unauthorized"
	problemTooManyLogins problemKind = "too-many-logins"
	problemForbidden     problemKind = "forbidden"
	problemHost          problemKind = "wrong-host"
	problemCrossOrigin   problemKind = "cross-origin"
	problemNotFound      problemKind = "not-found"
	problemMethod        problemKind = "method-not-allowed"
	problemBody          problemKind = "malformed-body"
	problemField         problemKind = "invalid-field"
	problemTooLarge      problemKind = "too-large"
	problemMediaType     problemKind = "unsupported-media-type"
	problemVoucherKind   problemKind = "unsupported-voucher"
	problemSlow          problemKind = "too-slow"
	problemState         problemKind = "state-does-not-allow"
	problemGone          problemKind = "voucher-not-kept"
	problemDamaged       problemKind = "voucher-damaged"
	problemBusy          problemKind = "busy"
	problemAway          problemKind = "store-away"
	problemNoRoom        problemKind = "no-room"
	problemInternal      problemKind = "internal"

	// These come from PandaPon's paths alone.
	problemSignature problemKind = "bad-signature"
	problemTimestamp problemKind = "bad-timestamp"
	problemPath      problemKind = "bad-path"
	problemUpstream  problemKind = "api-away"
	problemTimeout   problemKind = "api-timeout"
)

// status is the HTTP status of a kind.
func (k problemKind) status() int {
	switch k {
	case problemUnauthorized, problemSignature, problemTimestamp:
		return http.StatusUnauthorized
	case problemForbidden, problemCrossOrigin:
		return http.StatusForbidden
	case problemTooManyLogins:
		return http.StatusTooManyRequests
	case problemHost:
		return http.StatusMisdirectedRequest
	case problemNotFound:
		return http.StatusNotFound
	case problemMethod:
		return http.StatusMethodNotAllowed
	case problemBody, problemPath:
		return http.StatusBadRequest
	case problemField:
		return http.StatusUnprocessableEntity
	case problemTooLarge:
		return http.StatusRequestEntityTooLarge
	case problemMediaType, problemVoucherKind:
		return http.StatusUnsupportedMediaType
	case problemSlow:
		return http.StatusRequestTimeout
	case problemState:
		return http.StatusConflict
	case problemGone:
		return http.StatusGone
	case problemBusy, problemAway:
		return http.StatusServiceUnavailable
	case problemNoRoom:
		return http.StatusInsufficientStorage
	case problemUpstream:
		return http.StatusBadGateway
	case problemTimeout:
		return http.StatusGatewayTimeout
	case problemDamaged, problemInternal:
	}
	return http.StatusInternalServerError
}

// title is a kind in words.
func (k problemKind) title() string {
	switch k { //nolint:exhaustive // the others are called as their status is
	case problemHost:
		return "Not served under this name"
	case problemCrossOrigin:
		return "Call of another site"
	case problemField:
		return "Invalid field"
	case problemVoucherKind:
		return "Unsupported kind of voucher"
	case problemState:
		return "The upload's state does not allow it"
	case problemGone:
		return "The voucher is no longer kept"
	case problemDamaged:
		return "The voucher is damaged"
	case problemAway:
		return "The store is away"
	case problemNoRoom:
		return "No room"
	default:
		return http.StatusText(k.status())
	}
}

// problem is why a request is refused, as its caller may know it. It goes out as problem+json (RFC 9457), or in
// PandaPon's envelope. Its texts hold no secret, no voucher and no address of ours.
type problem struct {
	kind       problemKind
	detail     string // a sentence that says what to do
	field      string // the request's field at fault
	state      string // the upload's
	allow      string // methods that the path takes
	retryAfter time.Duration
	cause      error // for the log alone
}

func (p *problem) Error() string { return string(p.kind) + ": " + p.detail }

func (p *problem) Unwrap() error { return p.cause }

// problemJSON is how a problem is written. Members that do not apply are left out.
type problemJSON struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
	Field    string `json:"field,omitempty"`
	State    string `json:"state,omitempty"`
}

// refuse answers with a problem.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	x := exchangeOf(r)
	x.cause = p.cause
	h := w.Header()
	p.headers(h)
	if fromBrowser(r) {
		g.problemPage(w, r, p)
		return
	}
	body := problemJSON{
		Type: "urn:voucherd:problem:" + string(p.kind), Title: p.kind.title(), Status: p.kind.status(),
		Detail: p.detail, Field: p.field, State: p.state,
	}
	if x.id != "" {
		body.Instance = "urn:voucherd:request:" + x.id
	}
	h.Set("Content-Security-Policy", dataPolicy)
	writeJSON(w, "application/problem+json", p.kind.status(), body)
}

// headers sets what a refusal says in headers.
func (p *problem) headers(h http.Header) {
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10))
	}
	if p.kind == problemUnauthorized {
		h.Add("WWW-Authenticate", `Bearer realm="voucherd"`)
		h.Add("WWW-Authenticate", `Basic realm="voucherd", charset="UTF-8"`)
	}
	if s := p.kind.status(); s == http.StatusRequestTimeout || s == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // the rest of the body is of no use
	}
}

// writeJSON answers with one JSON text.
func writeJSON(w http.ResponseWriter, contentType string, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // none of the types that are written can fail
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // whoever asked has gone
}
