package problem

import (
	"cmp"
	"net/http"
)

// Kind names what went wrong, for programs: it is the end of a problem's type.
type Kind string

// The kinds. The last five come from PandaPon's paths alone.
const (
	Unauthorized     Kind = "unauthorized"
	TooManyLogins    Kind = "too-many-logins"
	Forbidden        Kind = "forbidden"
	WrongHost        Kind = "wrong-host"
	CrossOrigin      Kind = "cross-origin"
	NotFound         Kind = "not-found"
	MethodNotAllowed Kind = "method-not-allowed"
	Body             Kind = "malformed-body"
	Field            Kind = "invalid-field"
	TooLarge         Kind = "too-large"
	MediaType        Kind = "unsupported-media-type"
	VoucherKind      Kind = "unsupported-voucher"
	Slow             Kind = "too-slow"
	State            Kind = "state-does-not-allow"
	Gone             Kind = "voucher-not-kept"
	Damaged          Kind = "voucher-damaged"
	Busy             Kind = "busy"
	Away             Kind = "store-away"
	NoRoom           Kind = "no-room"
	Left             Kind = "caller-left" // nobody reads the answer
	Internal         Kind = "internal"
	Signature        Kind = "bad-signature"
	Timestamp        Kind = "bad-timestamp"
	Path             Kind = "bad-path"
	Upstream         Kind = "api-away"
	Timeout          Kind = "api-timeout"
)

// statusLeft is what access logs of others, too, have for a caller that did not wait for its answer.
const statusLeft = 499

// statuses are the HTTP statuses of the kinds.
func statuses() map[Kind]int {
	return map[Kind]int{
		Unauthorized: http.StatusUnauthorized, Signature: http.StatusUnauthorized, Timestamp: http.StatusUnauthorized,
		Forbidden: http.StatusForbidden, CrossOrigin: http.StatusForbidden,
		TooManyLogins: http.StatusTooManyRequests, WrongHost: http.StatusMisdirectedRequest,
		NotFound: http.StatusNotFound, MethodNotAllowed: http.StatusMethodNotAllowed,
		Body: http.StatusBadRequest, Path: http.StatusBadRequest, Field: http.StatusUnprocessableEntity,
		TooLarge: http.StatusRequestEntityTooLarge, Slow: http.StatusRequestTimeout,
		MediaType: http.StatusUnsupportedMediaType, VoucherKind: http.StatusUnsupportedMediaType,
		State: http.StatusConflict, Gone: http.StatusGone, Left: statusLeft,
		Busy: http.StatusServiceUnavailable, Away: http.StatusServiceUnavailable, NoRoom: http.StatusInsufficientStorage,
		Upstream: http.StatusBadGateway, Timeout: http.StatusGatewayTimeout,
	}
}

// Status is the HTTP status of a kind.
func (k Kind) Status() int { return cmp.Or(statuses()[k], http.StatusInternalServerError) }

// Title is a kind in words; most are called as their status is.
func (k Kind) Title() string {
	return cmp.Or(map[Kind]string{
		WrongHost: "Not served under this name", CrossOrigin: "Call of another site", Field: "Invalid field",
		VoucherKind: "Unsupported kind of voucher", State: "The upload's state does not allow it",
		Gone: "The voucher is no longer kept", Damaged: "The voucher is damaged", Left: "The caller left", Away: "The store is away", NoRoom: "No room",
	}[k], http.StatusText(k.Status()))
}
