// Package pandapon calls the PandaPon OpenAPI: it signs a request, sends it
// exactly once, and says what came back.
//
// It knows the API as documented and decides nothing: whether and when to try
// again is the caller's business. An error is always an [*Error], whose Kind
// tells a request that never went out whole from one that was answered and from
// one of which nobody knows whether it arrived.
//
// The package does not log, and no error of its own holds the secret, the
// access key, a query string or a body.
package pandapon

// Names of the headers every signed call carries, spelled as documented.
const (
	HeaderAccessKey = "access-key"
	HeaderTimestamp = "timestamp"
	HeaderNonce     = "nonce-str"
	HeaderUserID    = "user-id"
	HeaderSignature = "signature"
)

const (
	// DefaultBaseURL is where the documented API lives.
	DefaultBaseURL = "https://api.pandapon.com"

	// DefaultUploadPath is the documented endpoint. Its page announces that it
	// will be retired, so the path is a setting.
	DefaultUploadPath = "/open/order/upload/payCertificate"

	// CodeSuccess is the only code the documentation explains, as
	// [Envelope.Code] holds it.
	CodeSuccess = "200"
)
