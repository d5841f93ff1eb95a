package pandapon

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// answer is what one exchange gave, before it is judged.
type answer struct {
	timestamp string
	status    int   // of the answer, or else of the last 1xx; 0 without either
	err       error // there is no answer, or it could not be read to its end
	head      bool  // status is final: the head of an answer was read
	header    http.Header
	raw       []byte
	whole     bool        // the request may have gone out whole
	timely    func() bool // it had, when the answer began
	voucher   error       // the voucher's fault
}

// send makes the one attempt: build the request, do it, check the response.
func (c *Client) send(ctx context.Context, signed SignedRequest, cred Credentials, b *body) (Receipt, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.callTimeout,
		fmt.Errorf("call limit of %s reached: %w", c.callTimeout, context.DeadlineExceeded))
	defer cancel()
	seen := newProgress(b)
	req, err := newRequest(httptrace.WithClientTrace(ctx, seen.trace()), signed, b)
	if err != nil {
		return Receipt{}, err
	}
	a := c.exchange(req, seen)
	a.timestamp, a.timely = signed.Timestamp, seen.timely
	// After this the transport no longer touches the voucher, whatever state
	// its own goroutines are in.
	_ = b.Close() // never fails
	a.whole, a.voucher = b.finished.Load() && seen.unbroken(), b.fault()
	if !a.head {
		a.status = int(seen.interim.Load())
	}
	return a.judge(scrub(cred, signed), c.now())
}

// exchange uses the transport directly: http.Client would look at Location and
// wrap errors with the URL.
func (c *Client) exchange(req *http.Request, seen *progress) answer {
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	seen.answered() // again, as informational answers may have come before
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, head: true, header: resp.Header}
	if a.status < http.StatusOK {
		return a // 101: what follows is no body and may never end
	}
	a.raw, a.err = readAnswer(resp.Body)
	if a.err == nil {
		a.raw, a.err = unpack(a.raw, resp.Header.Get("Content-Encoding"))
	}
	return a
}

// readAnswer reads at most what an answer may have.
func readAnswer(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(raw) > maxAnswer {
		return nil, ErrTooLarge
	}
	return raw, err
}

// unpack undoes gzip, which is never asked for: a proxy may pack all it passes on. What only says
// that it is packed stays as it is.
func unpack(raw []byte, encoding string) ([]byte, error) {
	encoding = strings.ToLower(strings.TrimSpace(encoding))
	if encoding != "gzip" && encoding != "x-gzip" || !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err == nil {
		raw, err = readAnswer(r)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack answer: %w", err)
	}
	return raw, nil
}

// judge turns an answer into a receipt or an [*Error].
func (a answer) judge(scrub scrubber, now time.Time) (Receipt, error) {
	out := &Error{HTTPStatus: a.status}
	out.Date, _ = http.ParseTime(a.header.Get("Date"))
	out.RetryAfter, out.HasRetryAfter = parseRetryAfter(a.header.Get("Retry-After"), out.Date, now)
	env, parseErr := ParseEnvelope(a.raw)
	env = scrub.envelope(env)
	out.Envelope = env
	out.Envelope.Data = nil

	out.Kind, out.Err = a.outcome(env, parseErr)
	if out.Kind == 0 {
		return Receipt{Envelope: env, HTTPStatus: a.status, Timestamp: a.timestamp, Date: out.Date}, nil
	}
	out.Err = scrub.error(out.Err)
	return Receipt{}, out
}

// outcome returns the kind and its cause; kind 0 is success.
func (a answer) outcome(env Envelope, parseErr error) (Kind, error) {
	lost := NoAnswer
	if !a.whole {
		lost = NotSent
	}
	switch {
	case a.voucher != nil:
		return NotSent, a.voucher
	case !a.head:
		return lost, transportError(a.err)
	case a.status < http.StatusOK:
		return NoAnswer, errors.New("the connection was to be used otherwise")
	case a.status >= http.StatusBadRequest:
		return Answered, nil
	case a.status >= http.StatusMultipleChoices:
		return NoAnswer, ErrRedirect
	case a.err != nil:
		return lost, transportError(a.err)
	case parseErr != nil:
		return lost, parseErr
	case env.Code == "":
		return lost, ErrNoCode
	case env.Code != CodeSuccess:
		return Answered, nil
	case !a.timely():
		// Whoever claims it has not seen what it claims. A refusal needs no whole request.
		return NoAnswer, ErrEarlyAnswer
	default:
		return 0, nil
	}
}
