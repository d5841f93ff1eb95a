package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// requestBody is a request's body as its handler sees it. It knows what is left for drain.
type requestBody struct {
	io.ReadCloser // of net/http

	ended  atomic.Bool // read to its end
	closed atomic.Bool // the handler has done with it
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
	}
	return n, err // io.EOF must stay bare
}

// Close keeps the handler from reading on. net/http closes the body itself.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	return nil
}

// holdBody makes a request's body one that drain can finish. net/http would read on before it sends
// the answer, and give up after 256 KiB; here the answer leaves at once.
func (entry *accessLog) holdBody() {
	if entry.request.ProtoMajor != 1 {
		return // HTTP/2 ends a stream, not the connection
	}
	if http.NewResponseController(entry.answer).EnableFullDuplex() == nil {
		entry.body = &requestBody{ReadCloser: entry.request.Body}
		entry.request.Body = entry.body
	}
}

// drain reads what is left of the body of a request that was answered, as when it was refused. Many
// clients read no answer before all is sent: if the connection were closed with the body under way,
// they would see a reset. The bounds are limits.ShortTime and the largest body that any path takes.
// Past them, the connection is cut: what is left must not be taken for another request.
func (g *Gateway) drain(entry *accessLog) {
	if entry.body == nil || entry.body.ended.Load() {
		return
	}
	if entry.answer.status == http.StatusRequestTimeout && entry.answer.Header().Get("Connection") == "close" {
		return // this body has had its time, and net/http closes the connection
	}
	control := http.NewResponseController(entry.answer)
	err := errors.Join(control.Flush(), control.SetReadDeadline(time.Now().Add(g.limits.ShortTime)))
	if err == nil {
		_, err = io.CopyN(io.Discard, entry.body.ReadCloser, max(g.intake.LargestBody(), g.limits.PassedBytes))
	}
	if !errors.Is(err, io.EOF) {
		panic(http.ErrAbortHandler)
	}
}
