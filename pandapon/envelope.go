package pandapon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxMsg = 500 // runes; a message is for a log line, not for a page
	maxID  = 128 // runes; documented ids have 19 digits or 32 hex characters

	// blobRun is how many base64 characters in a row a message may hold. Keys,
	// ids and signatures have 32; more is likely our own body coming back.
	blobRun = 64
)

// ErrNotJSON means that an answer is not a JSON object.
var ErrNotJSON = errors.New("answer is not a JSON object")

// Envelope is what every answer of the API is wrapped in. A field that was
// missing, null or of a type without a text is empty. Texts are bounded and
// free of control characters.
type Envelope struct {
	RequestID string // what PandaPon's support finds a call by
	Code      string // "200" is success, whether it came as number or string
	DevelopID string
	Msg       string
	Data      json.RawMessage // nil when missing or null
}

// ParseEnvelope reads an answer's body. Ids may be strings or numbers and keep
// every digit; a field of another type counts as missing. The only error is
// ErrNotJSON, wrapped.
func ParseEnvelope(raw []byte) (Envelope, error) {
	var wire struct {
		RequestID scalar          `json:"requestId"`
		Code      code            `json:"code"`
		DevelopID scalar          `json:"developId"`
		Msg       scalar          `json:"msg"`
		Data      json.RawMessage `json:"data"`
	}
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\ufeff")))
	if len(raw) == 0 || raw[0] != '{' {
		return Envelope{}, fmt.Errorf("%w: %s", ErrNotJSON, firstLook(raw))
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return Envelope{}, fmt.Errorf("%w: malformed", ErrNotJSON)
	}
	env := Envelope{
		RequestID: clean(string(wire.RequestID), maxID),
		Code:      clean(string(wire.Code), maxID),
		DevelopID: clean(string(wire.DevelopID), maxID),
		Msg:       clean(hideBlobs(string(wire.Msg)), maxMsg),
	}
	if len(wire.Data) > 0 && !bytes.Equal(wire.Data, []byte("null")) {
		env.Data = wire.Data
	}
	return env, nil
}

// firstLook tells kinds of answers apart without quoting them: an answer may
// hold anything, our own request included.
func firstLook(raw []byte) string {
	switch {
	case len(raw) == 0:
		return "empty"
	case raw[0] == '<':
		return "markup"
	case json.Valid(raw):
		return "another JSON value"
	default:
		return "other bytes"
	}
}

// scalar takes a JSON string, number or boolean as text, and anything else as
// nothing. Numbers keep their digits: 19 of them do not fit a float.
type scalar string

func (s *scalar) UnmarshalJSON(raw []byte) error {
	*s = ""
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n':
		return nil
	case raw[0] == '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return fmt.Errorf("string: %w", err)
		}
		*s = scalar(strings.TrimSpace(text))
	default:
		*s = scalar(raw)
	}
	return nil
}

// code is a scalar in which 200, "200", 200.0 and 2e2 are the same, and which a
// boolean is not.
type code string

func (c *code) UnmarshalJSON(raw []byte) error {
	var s scalar
	if err := s.UnmarshalJSON(raw); err != nil {
		return err
	}
	*c = ""
	if len(raw) > 0 && (raw[0] == 't' || raw[0] == 'f') {
		return nil
	}
	*c = code(wholeNumber(string(s)))
	return nil
}

// wholeNumber drops the fraction and exponent of a number that has no use for
// them. Anything else stays as it is.
func wholeNumber(s string) string {
	if len(s) > 32 || !strings.ContainsAny(s, ".eE") {
		return s
	}
	const exact = 1 << 53 // beyond it a float has no unit digit
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= exact {
		return s
	}
	return strconv.FormatInt(int64(f), 10)
}

// clean makes a text fit for a terminal and a log line: valid UTF-8, control
// characters as blanks, invisible format characters dropped, at most limit runes.
func clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == limit {
			break
		}
		switch {
		case unicode.Is(unicode.Cf, r):
			continue
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			r = ' '
		}
		b.WriteRune(r) // an invalid byte ranges as utf8.RuneError
		n++
	}
	return strings.TrimSpace(b.String())
}

// hideBlobs replaces long runs of base64 characters, so that an answer which
// quotes our request puts no voucher into a log.
func hideBlobs(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := 0
		for n < len(s) && isBase64(s[n]) {
			n++
		}
		if n > blobRun {
			b.WriteString(hidden)
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
		if len(s) > 0 {
			_, size := utf8.DecodeRuneInString(s)
			b.WriteString(s[:size])
			s = s[size:]
		}
	}
	return b.String()
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
		c == '+' || c == '/' || c == '='
}
