package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/problem"
)

const (
	// mostWaiting bounds the calls that wait for events; further ones are answered at once.
	mostWaiting = 64
	// longestWait is below what usual proxies allow an answer.
	longestWait = 50 * time.Second
)

// listEvents reads the feed. It may wait until there is something to tell, the caller goes or the
// gateway stops.
func (a *API) listEvents(w http.ResponseWriter, r *http.Request) error {
	values, err := intake.ParseQuery(r, "after", "wait", "account", "limit")
	if err != nil {
		return err
	}
	q, err := parseEvents(values)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if q.Wait > 0 {
		select {
		case a.waiting <- struct{}{}:
			defer func() { <-a.waiting }()
			till := time.Now().Add(q.Wait + a.cfg.WriteTime)
			_ = http.NewResponseController(w).SetWriteDeadline(till) // only real connections have one
			var cancel context.CancelFunc
			ctx, cancel = a.untilStopping(ctx)
			defer cancel()
		default:
			q.Wait = 0
		}
	}
	page, err := a.feed.Read(ctx, q)
	if err != nil {
		return err // the gateway explains it
	}
	w.Header().Set("Cache-Control", "no-store")
	problem.WriteJSON(w, http.StatusOK, page)
	return nil
}

// untilStopping gives a context that also ends when the gateway stops.
func (a *API) untilStopping(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-a.cfg.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func parseEvents(v url.Values) (events.Query, error) {
	var q events.Query
	if s := v.Get("after"); s != "" {
		if err := q.After.UnmarshalText([]byte(s)); err != nil {
			return q, problem.Invalidf("after", "%s", err)
		}
	}
	if s := v.Get("wait"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return q, problem.Invalidf("wait", "is not a length of time such as 30s")
		}
		q.Wait = min(d, longestWait)
	}
	var err error
	q.Account, q.Limit, err = parsePage(v)
	return q, err
}
