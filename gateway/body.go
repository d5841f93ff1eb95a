package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
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
	err   error // what ended it
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
		b.err = tooLarge()
		return 0, b.err
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		// The deadline would end the request's context while the voucher is being stored.
		_ = b.ctl.SetReadDeadline(time.Time{}) // see above
		b.err = io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.err = &problem{kind: problemSlow, detail: "the body came too slowly"}
	default:
		b.err = &problem{kind: problemBody, detail: "the body was cut off", cause: err}
	}
	return n, b.err
}

// failure is what ended the body early; nil if nothing did. It counts before what its readers made of it.
func (b *body) failure() error {
	if b.err == nil || errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}
