package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// words say things in one language. Templates call the methods; a message that is missing is an
// error.
type words struct {
	texts map[string]string
	now   time.Time
}

// T gives a message, with its verbs filled in.
func (w words) T(key string, args ...any) (string, error) {
	text, ok := w.texts[key]
	if !ok {
		return "", fmt.Errorf("there is no message %q", key)
	}
	if len(args) == 0 {
		return text, nil
	}
	return fmt.Sprintf(text, args...), nil
}

// N gives a message about n things. The languages that tell one from many have both forms in it,
// with a bar between.
func (w words) N(key string, n int64, args ...any) (string, error) {
	text, ok := w.texts[key]
	if !ok {
		return "", fmt.Errorf("there is no message %q", key)
	}
	if one, many, ok := strings.Cut(text, "|"); ok {
		text = many
		if n == 1 {
			text = one
		}
	}
	return fmt.Sprintf(text, append([]any{n}, args...)...), nil
}

// Word says what a value of a set is called; one that has no name here, from a newer worker
// perhaps, stands for itself.
func (w words) Word(set, value string) string {
	if text, ok := w.texts[set+"."+value]; ok {
		return text
	}
	return value
}

// Advice says what to do about a breaker that is open; "" for a reason that is new.
func (w words) Advice(reason string) string { return w.texts["advice."+reason] }

// Outcome says what an attempt came to.
func (w words) Outcome(v ledger.Outcome) string {
	if v == "" {
		return w.texts["outcome.none"]
	}
	return w.Word("outcome", string(v))
}

// Means says what an upload's state means for the one who asks.
func (w words) Means(u ledger.Upload) string {
	switch {
	case u.State == ledger.Queued && u.Generation == 0:
		return w.texts["state.queued.line"]
	case u.State == ledger.Rejected && u.Outcome == ledger.OutcomeInvalid:
		return w.texts["state.invalid.means"]
	default:
		return w.texts["state."+string(u.State)+".means"]
	}
}

// The units of a length of time, and from how many of one on the smaller unit beside it tells
// nothing new.
const (
	day       = 24 * time.Hour
	coarseCut = 10
)

// Dur writes a length of time, coarser the longer it is.
func (w words) Dur(d time.Duration) string {
	units := []struct {
		key string
		len time.Duration
	}{{"unit.d", day}, {"unit.h", time.Hour}, {"unit.min", time.Minute}, {"unit.s", time.Second}}
	d = max(d, 0)
	for i, u := range units {
		if d < u.len {
			continue
		}
		n := d / u.len
		text := fmt.Sprintf(w.texts[u.key], n)
		if i+1 < len(units) && n < coarseCut {
			if rest := d % u.len / units[i+1].len; rest > 0 {
				text += " " + fmt.Sprintf(w.texts[units[i+1].key], rest)
			}
		}
		return text
	}
	return fmt.Sprintf(w.texts["unit.ms"], d.Milliseconds())
}

// Milli writes a number of milliseconds.
func (w words) Milli(ms int64) string { return w.Dur(time.Duration(ms) * time.Millisecond) }

// Ago says how long ago something was.
func (w words) Ago(t ledger.Time) string {
	d := w.now.Sub(t.Time)
	if d < time.Second {
		return w.texts["time.just-now"]
	}
	return fmt.Sprintf(w.texts["time.ago"], w.Dur(d.Truncate(time.Second)))
}

// Age says how old something is.
func (w words) Age(t ledger.Time) string {
	d := w.now.Sub(t.Time)
	if d < time.Second {
		return w.texts["unit.less"]
	}
	return w.Dur(d.Truncate(time.Second))
}

// In says how long it is until something.
func (w words) In(t ledger.Time) string {
	d := t.Sub(w.now)
	if d < time.Second {
		return w.texts["time.now"]
	}
	return fmt.Sprintf(w.texts["time.in"], w.Dur(d.Truncate(time.Second)))
}

// Past says whether something's time has come.
func (w words) Past(t ledger.Time) bool { return t.Sub(w.now) < time.Second }

// instant is a time as it stands in a page: the browser shows it in its own zone if it can run
// scripts.
type instant struct{ ISO, Text string }

// At writes a time.
func (w words) At(t ledger.Time) instant {
	if t.IsZero() {
		return instant{}
	}
	return instant{ISO: t.String(), Text: t.Local().Format(time.DateTime)}
}

// Zone names the zone of the times that no browser has changed.
func (w words) Zone() string { return w.now.Local().Format("MST (UTC-07:00)") }

// Num writes a number with its thousands apart.
func (words) Num(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Bytes writes a size.
func (words) Bytes(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
