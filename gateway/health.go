package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/voucherd/voucherd/gateway/problem"
)

func live(w http.ResponseWriter, _ *http.Request) error { return writeOK(w) }

func writeOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("ok\n"))
	return err // whoever asked has gone
}

// readyz says whether uploads can be taken. Why not stands in the log: anybody may ask.
func (g *Gateway) readyz(w http.ResponseWriter, _ *http.Request) error {
	select {
	case <-g.stopping:
		return &problem.Error{Kind: problem.Away, Detail: "the gateway is stopping"}
	default:
	}
	if err := g.ready.ask(g.cfg.Ready); err != nil {
		return problem.StoreAway("redis or the blob store is away", err)
	}
	return writeOK(w)
}

const (
	readyEvery = time.Second     // for how long an answer counts
	readyLimit = 2 * time.Second // below what usual probes wait
)

// readiness asks whether the gateway is ready, once for all who want to know at a time.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

func (r *readiness) ask(ready func(context.Context) error) error {
	if ready == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && time.Since(r.at) < readyEvery {
		return r.err
	}
	// The answer is for all who ask, so it does not follow the context of the one who asked first.
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- ready(ctx) }()
	select {
	case r.err = <-answer:
	case <-ctx.Done(): // a client that does not follow its context is left behind
		r.err = errors.New("no answer in time")
	}
	r.at = time.Now()
	return r.err
}
