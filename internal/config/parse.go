package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabriel-vasile/mimetype"
)

// reader reads a setting's text into its place in a Config. Its error is a sentence about the text alone: the
// setting's name is put before it. It does not repeat a text that may hold a password.
type reader func(string) error

// parsed reads a text by a function of its own.
func parsed[T any](field *T, parse func(string) (T, error)) reader {
	return func(s string) (err error) {
		*field, err = parse(s)
		return err
	}
}

// ParseDuration reads what time.ParseDuration reads, and whole days: "7d".
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err == nil && n <= maxDays {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a length of time: write it like 250ms, 30s, 10m, 24h or 7d", s)
	}
	return d, nil
}

// maxDays keeps a length of time within what a time.Duration can hold.
const maxDays = uint64(math.MaxInt64 / int64(24*time.Hour))

// atLeast reads a length of time that must not be shorter than least.
func atLeast(least time.Duration, fields ...*time.Duration) reader {
	return func(s string) error {
		d, err := ParseDuration(s)
		if err != nil {
			return err
		}
		if d < least {
			return fmt.Errorf("%s is too short: the least is %s", s, least)
		}
		for _, f := range fields {
			*f = d
		}
		return nil
	}
}

// span reads a length of time of at least a millisecond, the grain of the ledger.
func span(field *time.Duration) reader {
	return atLeast(time.Millisecond, field)
}

// count reads a whole number within bounds.
func count(least, most int, field *int) reader {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", s)
		}
		if n < least || n > most {
			return fmt.Errorf("%d is not between %d and %d", n, least, most)
		}
		*field = n
		return nil
	}
}

// text takes any text but an empty one.
func text(field *string) reader {
	return func(s string) error {
		if s == "" {
			return errors.New("is empty")
		}
		*field = s
		return nil
	}
}

// schedule reads delays such as "5s,30s,2m,10m".
func schedule(field *[]time.Duration) reader {
	return func(s string) error {
		var all []time.Duration
		for part := range strings.SplitSeq(s, ",") {
			d, err := ParseDuration(strings.TrimSpace(part))
			if err != nil {
				return err
			}
			if d < time.Millisecond {
				return fmt.Errorf("a delay of %s is too short", strings.TrimSpace(part))
			}
			all = append(all, d)
		}
		*field = all
		return nil
	}
}

// list reads words between commas; an empty text is an empty list.
func list(check func(string) error, field *[]string) reader {
	return func(s string) error {
		var all []string
		for part := range strings.SplitSeq(s, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			if err := check(part); err != nil {
				return err
			}
			if !slices.Contains(all, part) {
				all = append(all, part)
			}
		}
		*field = all
		return nil
	}
}

// code checks an envelope code. They are compared as text, but the API sends numbers.
func code(s string) error {
	if _, err := strconv.ParseInt(s, 10, 64); err != nil {
		return fmt.Errorf("%q is not a code: codes are whole numbers", s)
	}
	if s == "200" {
		return errors.New("200 is the code of success")
	}
	return nil
}

func mediaType(s string) error {
	if mimetype.Lookup(s) == nil {
		return fmt.Errorf("%q is not a kind of file that can be told from its bytes: write it like image/jpeg", s)
	}
	return nil
}

// size reads bytes, at most as many: "10485760", "500KB", "10MiB", "2GiB".
func size(most int64, field *int64) reader {
	return func(s string) error {
		number, unit := s, int64(1)
		for _, u := range []struct {
			suffix string
			bytes  int64
		}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1000}, {"MB", 1000 * 1000}} {
			if n, ok := strings.CutSuffix(s, u.suffix); ok {
				number, unit = strings.TrimSpace(n), u.bytes
				break
			}
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number of bytes: write it like 10485760, 500KB or 10MiB", s)
		}
		if n < 1 || n > most/unit {
			return fmt.Errorf("%s is not between 1 byte and %dMiB", s, most>>20)
		}
		*field = n * unit
		return nil
	}
}

// maxVoucher is far above any receipt; base64 of more would be refused by usual servers anyway.
const maxVoucher = 1 << 30

// maxSpool is far above any disk.
const maxSpool = 1 << 50

// share reads a number from 0 to below 1. The policy takes a zero for its default, so no jitter is
// written as -1 there.
func share(field *float64) reader {
	return func(s string) error {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f < 1) {
			return fmt.Errorf("%q is not a share: write a number from 0 to below 1, like 0.2", s)
		}
		if *field = f; f == 0 {
			*field = -1
		}
		return nil
	}
}

// oneOf takes one of some words.
func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
		}
		return s, nil
	}
}
