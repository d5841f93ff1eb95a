package pandapon

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a header can ask for; nobody waits a year.
const maxRetryAfter = 365 * 24 * time.Hour

// parseRetryAfter reads a Retry-After header in both its forms (RFC 9110,
// 10.2.3): seconds, or a date. A date counts from the answer's own Date, so
// that a clock that is off does no harm, or from now when there is none. What
// lies in the past is zero. ok is false for anything else.
func parseRetryAfter(value string, date, now time.Time) (wait time.Duration, ok bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date.IsZero() {
		date = now
	}
	return min(max(at.Sub(date), 0), maxRetryAfter), true
}
