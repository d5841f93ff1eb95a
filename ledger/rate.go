package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is how many attempts of an account may start within some time, by all its workers together.
// They start evenly, not in bursts. The zero value is no limit.
type Rate struct {
	Calls int
	Per   time.Duration // a second, a minute or an hour
}

// mostCalls is the highest rate: Redis measures the time between two calls in µs.
const mostCalls = 10_000

// ParseRate reads a rate such as 20/s, 100/m or 500/h.
func ParseRate(s string) (Rate, error) {
	calls, unit, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(calls)
	per, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if err != nil || !ok || n < 1 || n > mostCalls {
		return Rate{}, fmt.Errorf("%q is not a rate: write it like 20/s, 100/m or 500/h, with at most %d calls", s, mostCalls)
	}
	return Rate{Calls: n, Per: per}, nil
}

// String gives a rate as ParseRate reads it, and "" for no limit.
func (r Rate) String() string {
	if r.Calls == 0 {
		return ""
	}
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
	return strconv.Itoa(r.Calls) + "/" + unit
}

// every gives the µs between two starts, rounded up; 0: no limit.
func (r Rate) every() int64 {
	if r.Calls == 0 {
		return 0
	}
	return (r.Per.Microseconds() + int64(r.Calls) - 1) / int64(r.Calls)
}
