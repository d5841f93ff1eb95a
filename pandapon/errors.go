package pandapon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Kind says how far a request that did not succeed came.
type Kind int

const (
	// NotSent means that the request never went out whole, so the API cannot
	// have accepted it: name lookup, connection, TLS, a broken connection, or a
	// voucher reader that failed or gave another number of bytes than promised.
	NotSent Kind = iota + 1

	// Answered means that there was an answer, and that it was no: an HTTP
	// status outside 1xx to 3xx that is not success, or success with another
	// code than 200. A proxy may have given it.
	Answered

	// NoAnswer means that the request may have arrived and nothing that can be
	// relied on came back: time-out, reset, an answer cut off, not JSON or
	// without a code, a redirect, a lone 1xx, success before the request was
	// whole.
	NoAnswer
)

// String returns "not sent", "answered" or "no answer".
func (k Kind) String() string {
	switch k {
	case NotSent:
		return "not sent"
	case Answered:
		return "answered"
	case NoAnswer:
		return "no answer"
	default:
		return "unknown"
	}
}

// Conditions an [Error] may wrap.
var (
	// ErrInvalid means that a call lacks something and was not tried.
	ErrInvalid = errors.New("invalid call")
	// ErrVoucherSize means that the voucher reader gave fewer or more bytes
	// than promised; the request was cut.
	ErrVoucherSize = errors.New("voucher has another size than promised")
	// ErrNoCode means that an answer is JSON but has no readable code.
	ErrNoCode = errors.New("answer has no code")
	// ErrTooLarge means that an answer is longer than 1 MiB.
	ErrTooLarge = errors.New("answer is longer than 1 MiB")
	// ErrRedirect means that the answer was a redirect, which is not followed:
	// the signature belongs to one address.
	ErrRedirect = errors.New("redirect refused")
	// ErrEarlyAnswer means that success was claimed for a request that had not
	// been sent whole.
	ErrEarlyAnswer = errors.New("success answered before the request was whole")
)

// Error is the outcome of a call that did not succeed. Its text holds no
// secret, access key, signature, query or body.
type Error struct {
	Kind       Kind
	HTTPStatus int           // 0 when none was read
	Envelope   Envelope      // what could be read of it; Data is not kept
	RetryAfter time.Duration // from the Retry-After header, never negative
	// HasRetryAfter tells "retry at once" from "no word of it".
	HasRetryAfter bool
	Date          time.Time // the answer's Date header; zero when absent
	Err           error     // the cause; nil when the answer says it all
}

// Error describes the outcome in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("pandapon: ")
	b.WriteString(e.Kind.String())
	sep := ": "
	add := func(s string) {
		b.WriteString(sep)
		b.WriteString(s)
		sep = ", "
	}
	if e.HTTPStatus != 0 {
		add("HTTP " + strconv.Itoa(e.HTTPStatus))
	}
	if e.Envelope.Code != "" {
		add("code " + e.Envelope.Code)
	}
	if e.Envelope.Msg != "" {
		add("msg " + strconv.Quote(e.Envelope.Msg))
	}
	if e.Envelope.RequestID != "" {
		add("request id " + e.Envelope.RequestID)
	}
	if e.Err != nil {
		add(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, args ...any) *Error {
	return &Error{Kind: NotSent, Err: fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))}
}

// cause keeps an error for errors.Is and errors.As and shows another text.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

// scrubber takes the values out of texts that must not be seen there.
type scrubber []string

// minScrub keeps a one-letter test key from tearing every text apart. Real keys
// have 32 characters.
const minScrub = 8

func newScrubber(values ...string) scrubber {
	var s scrubber
	for _, v := range values {
		if len(v) >= minScrub {
			s = append(s, v)
		}
	}
	return s
}

func (s scrubber) text(t string) string {
	for _, v := range s {
		t = strings.ReplaceAll(t, v, hidden)
	}
	return t
}

func (s scrubber) envelope(e Envelope) Envelope {
	e.RequestID, e.Code = s.text(e.RequestID), s.text(e.Code)
	e.DevelopID, e.Msg = s.text(e.DevelopID), s.text(e.Msg)
	return e
}

// error scrubs the text of a cause and leaves the cause itself reachable.
func (s scrubber) error(err error) error {
	if err == nil {
		return nil
	}
	if text := s.text(err.Error()); text != err.Error() {
		return &cause{text: text, err: err}
	}
	return err
}

// transportError is what may be shown of an error of net/http. Those about the
// network name addresses only. Those about a malformed answer quote it, so they
// lose the quotation and, as nobody can match on them, their cause.
func transportError(err error) error {
	var netErr net.Error
	var malformed textproto.ProtocolError
	switch {
	case errors.As(err, &malformed):
		return errors.New("malformed header in the answer")
	case errors.As(err, &netErr), errors.Is(err, context.Canceled):
		return err
	}
	if text, _, quoted := strings.Cut(err.Error(), `"`); quoted {
		return errors.New(strings.TrimRight(text, " :"))
	}
	return err
}
