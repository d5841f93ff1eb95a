package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/voucherd/voucherd/test/chaos/audit"
)

// wire reads along what passes between workers and the API: a witness besides the ledger and the
// API's log.
type wire struct {
	mu      sync.Mutex
	all     []*audit.Passed
	readers sync.WaitGroup
}

// connection is a tap of one connection.
func (w *wire) connection() (up, down io.WriteCloser) {
	toAPI, up := io.Pipe()
	back, down := io.Pipe()
	asked := make(chan *audit.Passed)
	w.readers.Go(func() { w.requests(toAPI, asked) })
	w.readers.Go(func() { w.answers(back, asked) })
	return up, down
}

func (w *wire) requests(from *io.PipeReader, asked chan<- *audit.Passed) {
	defer from.Close() //nolint:errcheck // it only reads along
	defer close(asked)
	r := bufio.NewReader(from)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		p := &audit.Passed{Nonce: req.Header.Get("nonce-str")}
		w.mu.Lock()
		w.all = append(w.all, p)
		w.mu.Unlock()
		asked <- p
		if _, err = io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		w.mu.Lock()
		p.Whole = true
		w.mu.Unlock()
	}
}

// answers reads what comes back: one answer to each request, in their order.
func (w *wire) answers(from *io.PipeReader, asked <-chan *audit.Passed) {
	defer from.Close() //nolint:errcheck // it only reads along
	r := bufio.NewReader(from)
	readable := true
	for p := range asked {
		var said struct {
			RequestID string `json:"requestId"`
		}
		var body []byte
		if readable {
			answer, err := http.ReadResponse(r, nil) //nolint:bodyclose // it is read to its end
			if err == nil {
				body, err = io.ReadAll(answer.Body)
			}
			readable = err == nil
		}
		if !readable || json.Unmarshal(body, &said) != nil {
			continue
		}
		w.mu.Lock()
		p.RequestID, p.Answered = said.RequestID, time.Now()
		w.mu.Unlock()
	}
}

// passed gives all requests, once every connection has ended.
func (w *wire) passed() (all []audit.Passed) {
	w.readers.Wait()
	for _, p := range w.all {
		all = append(all, *p)
	}
	return all
}
