package intake

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/gateway/problem"
)

// BodyLimits say how fast a request's body must come.
type BodyLimits struct {
	Grace time.Duration // a body may take this long, and then must have kept up Rate
	Rate  int64         // bytes a second, on average
	Time  time.Duration // for a whole body, however long it is
}

// Body reads a request's body, which must keep up a least rate and not grow beyond a most. Its
// errors are problems, but io.EOF. Failure and Whole may be called while another goroutine reads.
type Body struct {
	from   io.Reader
	ctl    *http.ResponseController
	began  time.Time
	limits BodyLimits
	most   int64
	read   int64
	err    error                 // what ended it
	ended  atomic.Pointer[error] // the same, for other goroutines than the reader
}

// NewBody bounds the body of a request to most bytes.
func NewBody(w http.ResponseWriter, r *http.Request, limits BodyLimits, most int64) *Body {
	return &Body{from: r.Body, ctl: http.NewResponseController(w), began: time.Now(), limits: limits, most: most}
}

// Read reads on. It moves the connection's deadline as far as what has arrived has earned.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	earned := b.limits.Grace + time.Duration(float64(b.read)/float64(b.limits.Rate)*float64(time.Second))
	_ = b.ctl.SetReadDeadline(b.began.Add(min(earned, b.limits.Time))) // only real connections have one
	n, err := b.from.Read(p)
	if b.read += int64(n); b.read > b.most {
		return 0, b.end(problem.LargeBody())
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF: // a wrapped one is not the end
		// The deadline would end the request's context while the voucher is being stored.
		_ = b.ctl.SetReadDeadline(time.Time{}) // see above
		return n, b.end(io.EOF)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, b.end(&problem.Error{Kind: problem.Slow, Detail: "the body came too slowly"})
	default:
		return n, b.end(&problem.Error{Kind: problem.Body, Detail: "the body was cut off", Cause: err})
	}
}

func (b *Body) end(err error) error {
	b.err = err
	b.ended.Store(&err)
	return err
}

// Failure is what ended the body early; nil if nothing did. It counts before what its readers made
// of it.
func (b *Body) Failure() error {
	if err := b.ended.Load(); err != nil && !errors.Is(*err, io.EOF) {
		return *err
	}
	return nil
}

// Whole says whether all of it was read.
func (b *Body) Whole() bool {
	err := b.ended.Load()
	return err != nil && errors.Is(*err, io.EOF)
}
