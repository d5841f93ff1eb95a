package sandbox

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

// verifier checks who calls. Safe for concurrent use.
type verifier struct {
	credentials atomic.Pointer[[]pandapon.Credentials]
	rule        pandapon.SignRule
	window      time.Duration
	nonces      *nonceMemory // nil: nonces may repeat
}

// verify says why the API would not listen to this caller. It does not look at the nonce:
// checkNonce does, once all else is in order.
func (v *verifier) verify(h http.Header, now time.Time) *refusal {
	// nonce-str is among them: the endpoint's page calls it optional, the developer manual requires
	// it.
	for _, name := range [...]string{"access-key", "timestamp", "nonce-str", "user-id", "signature"} {
		if h.Get(name) == "" {
			return refuse(http.StatusBadRequest, CodeHeaderMissing, "header "+name+" is missing")
		}
	}
	timestamp := h.Get("timestamp")
	if problem := v.checkSignature(h, timestamp); problem != nil {
		return problem
	}
	sent, err := v.rule.ParseTimestamp(timestamp)
	if err != nil {
		return refuse(http.StatusUnauthorized, CodeBadTimestamp, "timestamp is not of the form that is signed")
	}
	if off := now.Sub(sent); off.Abs() > v.window {
		return refuse(http.StatusUnauthorized, CodeBadTimestamp, fmt.Sprintf("timestamp is %s off, more than %s", off.Abs().Round(time.Second), v.window))
	}
	return nil
}

// checkSignature finds the account by access key and sub-account. The sub-account is not signed, so
// several may share one key and secret.
func (v *verifier) checkSignature(h http.Header, timestamp string) *refusal {
	known, signed := false, false
	for _, c := range *v.credentials.Load() {
		if c.AccessKey != h.Get("access-key") {
			continue
		}
		known = true
		if c.UserID == "" {
			c.UserID = h.Get("user-id")
		}
		want := v.rule.Sign(c, timestamp, h.Get("nonce-str"))
		if subtle.ConstantTimeCompare([]byte(want), []byte(h.Get("signature"))) != 1 {
			continue
		}
		signed = true
		if c.UserID == h.Get("user-id") {
			return nil
		}
	}
	switch {
	case !known:
		return refuse(http.StatusUnauthorized, CodeUnknownKey, "access-key is unknown")
	case !signed:
		return refuse(http.StatusUnauthorized, CodeBadSignature, "signature does not fit")
	default:
		return refuse(http.StatusForbidden, CodeUnknownUser, "user-id is not one of this access-key")
	}
}

// checkNonce refuses a nonce this key has used before, and remembers it.
func (v *verifier) checkNonce(h http.Header, now time.Time) *refusal {
	if v.nonces == nil || v.nonces.fresh(h.Get("access-key")+"\x00"+h.Get("nonce-str"), now) {
		return nil
	}
	return refuse(http.StatusUnauthorized, CodeNonceRepeated, "nonce-str was used before")
}
