package problem

import "net/http"

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
	Internal         Kind = "internal"
	Signature        Kind = "bad-signature"
	Timestamp        Kind = "bad-timestamp"
	Path             Kind = "bad-path"
	Upstream         Kind = "api-away"
	Timeout          Kind = "api-timeout"
)

// Status is the HTTP status of a kind.
func (k Kind) Status() int {
	switch k {
	case Unauthorized, Signature, Timestamp:
		return http.StatusUnauthorized
	case Forbidden, CrossOrigin:
		return http.StatusForbidden
	case TooManyLogins:
		return http.StatusTooManyRequests
	case WrongHost:
		return http.StatusMisdirectedRequest
	case NotFound:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case Body, Path:
		return http.StatusBadRequest
	case Field:
		return http.StatusUnprocessableEntity
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case MediaType, VoucherKind:
		return http.StatusUnsupportedMediaType
	case Slow:
		return http.StatusRequestTimeout
	case State:
		return http.StatusConflict
	case Gone:
		return http.StatusGone
	case Busy, Away:
		return http.StatusServiceUnavailable
	case NoRoom:
		return http.StatusInsufficientStorage
	case Upstream:
		return http.StatusBadGateway
	case Timeout:
		return http.StatusGatewayTimeout
	case Damaged, Internal:
	}
	return http.StatusInternalServerError
}

// Title is a kind in words.
func (k Kind) Title() string {
	switch k { //nolint:exhaustive // the others are called as their status is
	case WrongHost:
		return "Not served under this name"
	case CrossOrigin:
		return "Call of another site"
	case Field:
		return "Invalid field"
	case VoucherKind:
		return "Unsupported kind of voucher"
	case State:
		return "The upload's state does not allow it"
	case Gone:
		return "The voucher is no longer kept"
	case Damaged:
		return "The voucher is damaged"
	case Away:
		return "The store is away"
	case NoRoom:
		return "No room"
	default:
		return http.StatusText(k.Status())
	}
}
