package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// api is the stand-in for the API: it reads and decodes every voucher and answers with success. It
// checks nothing, so that little of the machine goes to it.
type api struct {
	buffers sync.Pool // of *apiBuffers

	delay atomic.Int64 // ns
	drip  atomic.Bool  // the delay is spent while reading, not after

	flying, most         atomic.Int64
	count, target        atomic.Int64
	first, last, reached atomic.Int64 // UnixNano
}

type apiBuffers struct {
	encoded [64 << 10]byte
	decoded [48 << 10]byte
}

func newAPI() *api { return &api{buffers: sync.Pool{New: func() any { return new(apiBuffers) }}} }

// ServeHTTP takes one upload.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for n := a.flying.Add(1); ; {
		if most := a.most.Load(); n <= most || a.most.CompareAndSwap(most, n) {
			break
		}
	}
	defer a.flying.Add(-1)
	a.first.CompareAndSwap(0, time.Now().UnixNano())
	if err := a.take(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n := a.count.Add(1)
	answer := make([]byte, 0, 160)
	answer = append(answer, `{"requestId":"`...)
	answer = append(answer, r.Header.Get("nonce-str")...) // 32 characters, and every call's own
	answer = append(answer, `","code":200,"developId":"1234567890123456789","msg":"success","data":true}`...)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) //nolint:gosec // JSON, to programs of ours; a caller that hangs up is measured as missing
	now := time.Now().UnixNano()
	a.last.Store(now)
	if n == a.target.Load() {
		a.reached.Store(now)
	}
}

// take reads and decodes one voucher, and takes the set time for it.
func (a *api) take(r *http.Request) error {
	b, ok := a.buffers.Get().(*apiBuffers)
	if !ok { // the pool is empty
		b = new(apiBuffers)
	}
	defer a.buffers.Put(b)
	ctx, delay := r.Context(), time.Duration(a.delay.Load())
	pace := func() error { return nil }
	if a.drip.Load() {
		pieces := max(1, r.ContentLength/int64(len(b.encoded)))
		each := delay / time.Duration(pieces)
		pace = func() error { return sleep(ctx, each) }
		delay = 0
	}
	if err := decodeUpload(r.Body, b, pace); err != nil {
		return err
	}
	return sleep(ctx, delay)
}

const uploadPrefix = `{"base64":"`

var errBody = errors.New("not an upload")

// decodeUpload reads the body of an upload and decodes its voucher.
func decodeUpload(r io.Reader, b *apiBuffers, pace func() error) error {
	prefix := b.encoded[:len(uploadPrefix)]
	if _, err := io.ReadFull(r, prefix); err != nil || string(prefix) != uploadPrefix {
		return errBody
	}
	for n := 0; ; {
		read, err := r.Read(b.encoded[n:])
		n += read
		end := bytes.IndexByte(b.encoded[:n], '"')
		usable := n / 4 * 4
		if end >= 0 {
			usable = end
		}
		if _, derr := base64.StdEncoding.Decode(b.decoded[:], b.encoded[:usable]); derr != nil {
			return errBody
		}
		if end >= 0 {
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return errBody
		}
		n = copy(b.encoded[:], b.encoded[usable:n])
		if err := pace(); err != nil {
			return err
		}
	}
}

// expect counts from 0 up to n uploads, and answers each after a delay from now on.
func (a *api) expect(n int, delay time.Duration, drip bool) {
	a.delay.Store(int64(delay))
	a.drip.Store(drip)
	a.target.Store(int64(n))
	for _, v := range []*atomic.Int64{&a.count, &a.first, &a.last, &a.reached, &a.most} {
		v.Store(0)
	}
}

// wait waits until the expected uploads were answered or the limit is over, and says how many were,
// and the time from the first request to the last answer.
func (a *api) wait(ctx context.Context, limit time.Duration) Reply {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for err := error(nil); err == nil && a.reached.Load() == 0 && a.count.Load() < a.target.Load(); {
		err = sleep(ctx, time.Millisecond)
	}
	r := Reply{Count: int(a.count.Load())}
	if first := a.first.Load(); first != 0 {
		r.Elapsed = time.Duration(cmp.Or(a.reached.Load(), a.last.Load()) - first)
	}
	return r
}

// sleep waits, or gives the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
