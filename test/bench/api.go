package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// api is the stand-in for the API: it reads and decodes every voucher, notes its order and answers
// with success. It checks nothing, so that little of the machine goes to it.
type api struct {
	server *httptest.Server

	delay atomic.Int64 // ns, before each answer
	drip  atomic.Bool  // the delay is spent while reading, not after
	down  atomic.Bool  // every call is answered with 503

	flying atomic.Int64 // calls under way

	mu       sync.Mutex
	most     int64 // calls at a time
	first    time.Time
	taken    []call // vouchers that were read to their end, in that order
	answered []time.Time
}

// call is a call that brought a voucher.
type call struct {
	order int // number of the upload
	at    time.Time
}

func newAPI() *api {
	a := &api{}
	a.server = httptest.NewServer(a)
	return a
}

func (a *api) close() {
	a.server.CloseClientConnections()
	a.server.Close()
}

// ServeHTTP takes one upload.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	if a.down.Load() {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	flying := a.flying.Add(1)
	defer a.flying.Add(-1)
	a.mu.Lock()
	a.most = max(a.most, flying)
	if a.first.IsZero() {
		a.first = at
	}
	a.mu.Unlock()
	order, err := take(a.paced(r.Context(), r), r.ContentLength)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.taken = append(a.taken, call{order, at})
	a.mu.Unlock()
	if !a.drip.Load() && !process.Sleep(r.Context(), time.Duration(a.delay.Load())) {
		return
	}
	answer := make([]byte, 0, 160)
	answer = append(answer, `{"requestId":"`...)
	answer = append(answer, r.Header.Get("nonce-str")...) // 32 characters, and every call's own
	answer = append(answer, `","code":200,"developId":"1234567890123456789","msg":"success","data":true}`...)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) //nolint:gosec // JSON, to programs of ours; a caller that hangs up is measured as missing
	a.mu.Lock()
	a.answered = append(a.answered, time.Now())
	a.mu.Unlock()
}

// paced gives a body that takes the delay to be read, if so wanted.
func (a *api) paced(ctx context.Context, r *http.Request) io.Reader {
	if !a.drip.Load() {
		return r.Body
	}
	const piece = 64 << 10
	each := time.Duration(a.delay.Load() / max(1, r.ContentLength/piece))
	return bufio.NewReaderSize(dripping{r.Body, func() { process.Sleep(ctx, each) }}, piece)
}

const (
	uploadPrefix = `{"base64":"`
	uploadMiddle = `","orderId":"`
	uploadEnd    = `"}`
)

var errBody = errors.New("not an upload")

// take reads the body of an upload, decodes its voucher, and gives the number of its upload.
func take(body io.Reader, length int64) (int, error) {
	start, end := make([]byte, len(uploadPrefix)), make([]byte, len(uploadMiddle)+len(orderID(0))+len(uploadEnd))
	if _, err := io.ReadFull(body, start); err != nil || string(start) != uploadPrefix {
		return 0, errBody
	}
	encoded := io.LimitReader(body, length-int64(len(start)+len(end)))
	if _, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, encoded)); err != nil {
		return 0, errBody
	}
	_, err := io.ReadFull(body, end)
	order, found := strings.CutPrefix(string(end), uploadMiddle)
	number, nerr := strconv.Atoi(strings.TrimSuffix(order, uploadEnd))
	if err != nil || !found || nerr != nil {
		return 0, errBody
	}
	return number - firstOrder, nil
}

// dripping takes its time for reading.
type dripping struct {
	io.Reader

	pause func()
}

func (d dripping) Read(p []byte) (int, error) {
	d.pause()
	return d.Reader.Read(p)
}

// reset forgets all calls, and answers each after a delay from now on.
func (a *api) reset(delay time.Duration, drip bool) {
	a.delay.Store(int64(delay))
	a.drip.Store(drip)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.most, a.first, a.taken, a.answered = 0, time.Time{}, nil, nil
}

// calls gives the vouchers that were taken since the last reset.
func (a *api) calls() []call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clip(a.taken)
}

func (a *api) mostFlying() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.most
}

// wait waits until n uploads were answered or the limit is over. It says how many of the n were, and
// the time from the first request to the last of these answers.
func (a *api) wait(ctx context.Context, n int, limit time.Duration) (int, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		a.mu.Lock()
		count := min(n, len(a.answered))
		var took time.Duration
		if count > 0 {
			took = a.answered[count-1].Sub(a.first)
		}
		a.mu.Unlock()
		if count == n || !process.Sleep(ctx, time.Millisecond) {
			return count, took
		}
	}
}
