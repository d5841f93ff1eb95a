package pandapon

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden is what a Secret shows of itself. It does not tell the length.
const hidden = "***"

// Secret is the developer's access secret. Printed, logged or marshalled it
// shows only ***, by whatever verb or encoder; Reveal gives the value. Keep it
// in exported fields, for fmt cannot call methods on unexported ones, and do not
// make it a map's key, which encoding/json writes as it is.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns ***.
func (s Secret) String() string { return hidden }

// GoString returns ***.
func (s Secret) GoString() string { return hidden }

// Format writes *** for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	// fmt reports a failing writer itself.
	_, _ = io.WriteString(f, hidden)
}

// MarshalJSON returns "***".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalText returns ***.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns ***.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// Credentials name one PandaPon account. All three are needed for a call.
type Credentials struct {
	AccessKey string
	Secret    Secret
	UserID    string // sub-account; sent, but not part of the default signature
}
