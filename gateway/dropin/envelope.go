package dropin

import (
	"cmp"
	"net/http"

	"github.com/voucherd/voucherd/gateway/problem"
)

// The codes that PandaPon's paths answer refusals with here. All are voucherd's own, in a range of
// its own: PandaPon documents none but 200, and nothing of PandaPon's may be read into them. Their
// HTTP status is never 200, for a client that looks at the status alone must not take a refusal for
// a success.
const (
	CodeUnsigned     = 98001 // 401: a header is missing, doubled, or the signature is not that of an account
	CodeTimestamp    = 98002 // 401: the timestamp cannot be read, or is more than 600 s off
	CodePath         = 98003 // 400: a path or method that is not passed on
	CodeBody         = 98004 // 400: the body is not the JSON it should be, or was cut off
	CodeField        = 98005 // 422: base64, orderId or user-id is missing or wrong
	CodeTooLarge     = 98006 // 413: the voucher, or the body, is too large
	CodeMediaType    = 98007 // 415: the body is not application/json, or the voucher of no accepted kind
	CodeTooSlow      = 98008 // 408: the body came too slowly
	CodeBusy         = 98009 // 503: too many calls at once; try again
	CodeAway         = 98010 // 503: the voucher could not be stored; try again
	CodeNoRoom       = 98011 // 507: Redis has no room; try again later
	CodeAPIAway      = 98012 // 502: a call passed on did not reach the API, or got no answer
	CodeAPITimeout   = 98013 // 504: a call passed on took too long
	CodeInternal     = 98014 // 500: a fault of the gateway's
	codeAccepted     = http.StatusOK
	acceptedEnvelope = "accepted by voucherd for delivery"
)

// envelopeCode is the code of a kind of problem.
func envelopeCode(k problem.Kind) int {
	return cmp.Or(map[problem.Kind]int{
		problem.Signature: CodeUnsigned, problem.Timestamp: CodeTimestamp, problem.Path: CodePath, problem.Body: CodeBody,
		problem.Field: CodeField, problem.TooLarge: CodeTooLarge, problem.MediaType: CodeMediaType,
		problem.VoucherKind: CodeMediaType, problem.Slow: CodeTooSlow, problem.Busy: CodeBusy, problem.Away: CodeAway,
		problem.NoRoom: CodeNoRoom, problem.Upstream: CodeAPIAway, problem.Timeout: CodeAPITimeout,
	}[k], CodeInternal)
}

// envelope is PandaPon's, as documented.
type envelope struct {
	RequestID string `json:"requestId"`
	Code      int    `json:"code"`
	DevelopID string `json:"developId"`
	Msg       string `json:"msg"`
	Data      any    `json:"data"`
}

// refuse answers with a problem in the envelope. Its requestId is that of the access log.
func (d *DropIn) refuse(w http.ResponseWriter, r *http.Request, p *problem.Error) {
	d.cfg.Cause(r, p.Cause)
	p.SetHeaders(w.Header())
	msg := "voucherd: " + cmp.Or(p.Detail, p.Kind.Title())
	problem.WriteJSON(w, p.Kind.Status(), envelope{RequestID: d.cfg.RequestID(r), Code: envelopeCode(p.Kind), Msg: msg})
}
