package events

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// Cursor is a place in the feed: what a reader keeps, and goes on from. Its text is not for reading:
// what is in it may change. The zero value is the beginning. Cursors can be compared with ==.
type Cursor struct{ ms int64 }

// CursorAt gives the place behind everything that ended until a time, this one included.
func CursorAt(t ledger.Time) Cursor {
	if t.IsZero() {
		return Cursor{}
	}
	return Cursor{t.UnixMilli()}
}

func (c Cursor) time() ledger.Time {
	if c.ms == 0 {
		return ledger.Time{} // the beginning
	}
	return ledger.Time{Time: time.UnixMilli(c.ms).UTC()}
}

// cursorPrefix tells cursors from times and from mistakes.
const cursorPrefix = "e_"

// String gives its text, which needs no escaping in a URL.
func (c Cursor) String() string { return cursorPrefix + strconv.FormatInt(c.ms, 36) }

// MarshalText gives its text.
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the text of a cursor, or any time after RFC 3339.
func (c *Cursor) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), cursorPrefix)
	if ms, err := strconv.ParseInt(digits, 36, 64); ok && err == nil && ms >= 0 {
		c.ms = ms
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return errors.New("is neither the cursor of a page nor a time such as 2026-01-31T12:00:00.000Z")
	}
	c.ms = max(0, t.UnixMilli())
	return nil
}
