package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that reads and writes as text, "1m30s".
type Duration time.Duration

// MarshalText writes d as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

// ParseFault reads a fault as a flag gives it: the kind, then settings, all separated by commas, as
// in "outage,for=10s,probability=0.3". The settings are for, probability, times, code, status, msg,
// retry-after, delay, order-id, user-id and before ("before" alone means true). A value holds no
// comma: a Retry-After date needs the JSON form. The fault returned is valid.
func ParseFault(s string) (Fault, error) {
	kind, settings, more := strings.Cut(s, ",")
	f := Fault{Kind: FaultKind(strings.TrimSpace(kind))}
	if more {
		for setting := range strings.SplitSeq(settings, ",") {
			name, value, given := strings.Cut(strings.TrimSpace(setting), "=")
			if err := f.set(name, value, given); err != nil {
				return Fault{}, fmt.Errorf("fault %q: %s: %w", s, name, err)
			}
		}
	}
	if err := f.Validate(); err != nil {
		return Fault{}, err
	}
	return f, nil
}

var (
	errNoSetting = errors.New("no such setting")
	errNoValue   = errors.New("needs a value")
)

func (f *Fault) set(name, value string, given bool) (err error) {
	if name == "before" && !given {
		f.Before = true
		return nil
	}
	if !given {
		return errNoValue
	}
	switch name {
	case "for":
		err = f.For.UnmarshalText([]byte(value))
	case "delay":
		err = f.Delay.UnmarshalText([]byte(value))
	case "probability":
		f.Probability, err = strconv.ParseFloat(value, 64)
	case "times":
		f.Times, err = strconv.Atoi(value)
	case "code":
		f.Code, err = strconv.Atoi(value)
	case "status":
		f.Status, err = strconv.Atoi(value)
	case "before":
		f.Before, err = strconv.ParseBool(value)
	case "msg":
		f.Msg = value
	case "retry-after":
		f.RetryAfter = value
	case "order-id":
		f.OrderID = value
	case "user-id":
		f.UserID = value
	default:
		err = errNoSetting
	}
	return err
}
