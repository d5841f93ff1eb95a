package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// CodeSuccess is the one code that PandaPon documents.
const CodeSuccess = 200

// Codes of refusals. They are the sandbox's inventions, as is the HTTP status named beside each:
// PandaPon documents none.
const (
	CodeHeaderMissing  = 90001 // 400: a required header is missing
	CodeUnknownKey     = 90002 // 401: no such access key
	CodeBadSignature   = 90003 // 401: the signature does not fit
	CodeBadTimestamp   = 90004 // 401: the timestamp is unreadable or too far off
	CodeNonceRepeated  = 90005 // 401: this nonce-str was used before
	CodeUnknownUser    = 90006 // 403: the user-id is not one of this access key
	CodeBadBody        = 90007 // 400: the body is not the JSON it should be, or was cut off
	CodeBadVoucher     = 90008 // 400: base64 is missing, empty or not base64
	CodeBadOrderID     = 90009 // 400: orderId is missing, empty or not a string
	CodeNoSuchEndpoint = 90010 // 404: no such path
	CodeNotPost        = 90011 // 405: the upload path takes POST only
	CodeRefused        = 90012 // 200: what a fault answers that names no code
)

// envelope is the answer as documented.
type envelope struct {
	RequestID string `json:"requestId"`
	Code      int    `json:"code"`
	DevelopID string `json:"developId"`
	Msg       string `json:"msg"`
	Data      any    `json:"data"`
}

// reply is an answer about to be sent.
type reply struct {
	status   int
	header   http.Header
	envelope envelope
}

// refusal is why the API would not do what it was asked; nil when it would.
type refusal struct {
	status, code int
	problem      string
}

func refuse(status, code int, problem string) *refusal {
	return &refusal{status: status, code: code, problem: problem}
}

// success is the documented answer, with data.
func success(data any) reply {
	return reply{status: http.StatusOK, envelope: envelope{Code: CodeSuccess, Msg: "成功", Data: data}}
}

func (r *refusal) reply() reply {
	answer := reply{status: r.status, envelope: envelope{Code: r.code, Msg: r.problem}}
	if r.code == CodeNotPost {
		answer.header = http.Header{"Allow": {http.MethodPost}}
	}
	return answer
}

func (e envelope) encode() []byte {
	text, _ := json.Marshal(e) //nolint:errchkjson // data is true, an echo or nothing
	return text
}

// send writes the answer whole.
func (r reply) send(w http.ResponseWriter, now time.Time) {
	body := r.envelope.encode()
	r.sendBody(w, now, "application/json", body, len(body))
}

// sendBody announces length bytes and writes body. When less is written than announced, net/http
// closes the connection.
func (r reply) sendBody(w http.ResponseWriter, now time.Time, contentType string, body []byte, length int) {
	maps.Copy(w.Header(), r.header)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if r.status == http.StatusNoContent || r.status == http.StatusNotModified {
		w.WriteHeader(r.status) // these have no body
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // an error means that the caller has left
}

// newRequestID is 32 hex characters, as in the documented example.
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the program instead
	return hex.EncodeToString(id[:])
}

// developID makes up the developer's id of an access key: 19 digits, as in the documented example,
// always the same for a key. Without a key it is empty.
func developID(accessKey string) string {
	if accessKey == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(accessKey))
	const digits = 1_000_000_000_000_000_000
	return strconv.FormatUint(digits+binary.BigEndian.Uint64(sum[:8])%digits, 10)
}
