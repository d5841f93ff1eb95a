package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// body reads a request's body, which must keep up a least rate and not grow beyond a most.
type body struct {
	from  io.Reader
	ctl   *http.ResponseController
	began time.Time
	limit Limits
	most  int64
	read  int64
	err   error                 // what ended it
	ended atomic.Pointer[error] // the same, for other goroutines than the reader
}

// bodyOf gives the body of a request. Its errors are problems, but io.EOF. Other encodings than identity are refused.
func (g *Gateway) bodyOf(w http.ResponseWriter, r *http.Request, most int64) (*body, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, &problem{kind: problemMediaType, detail: "send the body as it is, without Content-Encoding"}
	}
	if r.ContentLength > most {
		return nil, tooLarge()
	}
	return &body{
		from: r.Body, ctl: http.NewResponseController(w), began: time.Now(), limit: g.limits, most: most,
	}, nil
}

func tooLarge() *problem {
	return &problem{kind: problemTooLarge, field: "voucher", detail: "the body is larger than any accepted voucher can make it"}
}

// Read reads on. It moves the connection's deadline as far as what has arrived has earned.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	earned := b.limit.BodyGrace + time.Duration(float64(b.read)/float64(b.limit.BodyRate)*float64(time.Second))
	_ = b.ctl.SetReadDeadline(b.began.Add(min(earned, b.limit.BodyTime))) // only real connections have one
	n, err := b.from.Read(p)
	if b.read += int64(n); b.read > b.most {
		return 0, b.end(tooLarge())
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF: // a wrapped one is not the end
		// The deadline would end the request's context while the voucher is being stored.
		_ = b.ctl.SetReadDeadline(time.Time{}) // see above
		return n, b.end(io.EOF)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, b.end(&problem{kind: problemSlow, detail: "the body came too slowly"})
	default:
		return n, b.end(&problem{kind: problemBody, detail: "the body was cut off", cause: err})
	}
}

func (b *body) end(err error) error {
	b.err = err
	b.ended.Store(&err)
	return err
}

// failure is what ended the body early; nil if nothing did. It counts before what its readers made of it.
func (b *body) failure() error {
	if err := b.ended.Load(); err != nil && !errors.Is(*err, io.EOF) {
		return *err
	}
	return nil
}

// whole says whether all of it was read.
func (b *body) whole() bool {
	err := b.ended.Load()
	return err != nil && errors.Is(*err, io.EOF)
}
