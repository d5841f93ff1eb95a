package pandapon

import (
	"crypto/md5" //nolint:gosec // the API's signature rule is MD5
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SignPart names a value that takes part in the signature.
type SignPart string

// The values a signature can be made of.
const (
	PartAccessKey SignPart = "access-key"
	PartTimestamp SignPart = "timestamp"
	PartNonce     SignPart = "nonce-str"
	PartSecret    SignPart = "secret"
	PartUserID    SignPart = "user-id"
)

// DefaultSignParts returns the parts of the default rule, in order. The manual
// names the parts; their order is inferred from a public client of the same API
// family.
func DefaultSignParts() []SignPart {
	return []SignPart{PartAccessKey, PartTimestamp, PartNonce, PartSecret}
}

// ParseSignParts reads a comma-separated list such as
// "access-key,timestamp,nonce-str,secret". Blanks around names are dropped. It
// refuses unknown and repeated names, and a list without the secret, which
// anyone could sign.
func ParseSignParts(s string) ([]SignPart, error) {
	var parts []SignPart
	for name := range strings.SplitSeq(s, ",") {
		parts = append(parts, SignPart(strings.TrimSpace(name)))
	}
	if err := checkParts(parts); err != nil {
		return nil, err
	}
	return parts, nil
}

func checkParts(parts []SignPart) error {
	for i, part := range parts {
		switch part {
		case PartAccessKey, PartTimestamp, PartNonce, PartSecret, PartUserID:
		default:
			return fmt.Errorf("unknown sign part %q: use access-key, timestamp, nonce-str, secret or user-id", string(part))
		}
		if slices.Contains(parts[:i], part) {
			return fmt.Errorf("sign part %q stands twice", string(part))
		}
	}
	if !slices.Contains(parts, PartSecret) {
		return errors.New("sign parts need the secret: without it anyone could sign")
	}
	return nil
}

// TimestampUnit says what the timestamp header counts since 1970.
type TimestampUnit string

// The units seen: the documented example has 13 digits, some public clients
// send 10. The zero value counts as Milliseconds.
const (
	Milliseconds TimestampUnit = "ms"
	Seconds      TimestampUnit = "s"
)

// ParseTimestampUnit reads "ms" or "s".
func ParseTimestampUnit(s string) (TimestampUnit, error) {
	switch unit := TimestampUnit(strings.TrimSpace(s)); unit {
	case Milliseconds, Seconds:
		return unit, nil
	default:
		return "", fmt.Errorf("unknown timestamp unit %q: use ms or s", s)
	}
}

// SignRule says how a signature is made. The zero value is the default rule:
// access key, timestamp, nonce and secret, in milliseconds.
type SignRule struct {
	Parts []SignPart
	Unit  TimestampUnit
}

// Validate reports parts or a unit that no request could be signed with.
func (r SignRule) Validate() error {
	var faults []error
	if len(r.Parts) > 0 {
		faults = append(faults, checkParts(r.Parts))
	}
	if r.Unit != "" {
		_, err := ParseTimestampUnit(string(r.Unit))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Timestamp renders t for the timestamp header.
func (r SignRule) Timestamp(t time.Time) string {
	if r.Unit == Seconds {
		return strconv.FormatInt(t.Unix(), 10)
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// ParseTimestamp is the inverse of Timestamp. It takes digits only.
func (r SignRule) ParseTimestamp(s string) (time.Time, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return time.Time{}, fmt.Errorf("timestamp is not a number of %s since 1970", r.unit())
	}
	if r.Unit == Seconds {
		return time.Unix(int64(n), 0), nil
	}
	return time.UnixMilli(int64(n)), nil
}

func (r SignRule) unit() TimestampUnit {
	if r.Unit == "" {
		return Milliseconds
	}
	return r.Unit
}

// Sign returns the signature header: the values of the parts, joined without
// separators, as MD5 in upper-case hex. Neither body nor query takes part.
// timestamp and nonce are signed as given, so send exactly these.
func (r SignRule) Sign(c Credentials, timestamp, nonce string) string {
	parts := r.Parts
	if len(parts) == 0 {
		parts = DefaultSignParts()
	}
	joined := make([]byte, 0, 128)
	for _, part := range parts {
		switch part {
		case PartAccessKey:
			joined = append(joined, c.AccessKey...)
		case PartTimestamp:
			joined = append(joined, timestamp...)
		case PartNonce:
			joined = append(joined, nonce...)
		case PartSecret:
			joined = append(joined, c.Secret.Reveal()...)
		case PartUserID:
			joined = append(joined, c.UserID...)
		}
	}
	sum := md5.Sum(joined) //nolint:gosec // the API's signature rule is MD5
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
