package pandapon

import (
	"crypto/rand"
	"encoding/hex"
)

// nonceBytes gives 32 hex characters, the length the manual asks for.
const nonceBytes = 16

// NewNonce returns 32 random characters for the nonce-str header. It is safe
// for concurrent use.
func NewNonce() string {
	var b [nonceBytes]byte
	// Read never fails: the runtime ends the program when the system has no
	// randomness.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
