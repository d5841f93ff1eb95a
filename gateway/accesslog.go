package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/gateway/problem"
)

// accessLog is one request and what is known of it; its access log line is made of it.
type accessLog struct {
	id       string
	span     trace.Span // one that takes nothing when there are no traces
	started  time.Time
	client   netip.Addr // zero: not known
	proxied  bool       // a header says that somebody else's request was forwarded
	secure   bool       // the client came by HTTPS
	identity Identity
	session  bool // by a cookie of the login page
	request  *http.Request
	answer   *answer
	conn     *conn
	body     *requestBody // nil: there is none, or nothing of it need be drained

	route                      string // the pattern it matched, "drop-in", or "": none
	account, uploadID, orderID string
	cut                        bool  // the answer ended in the middle
	cause                      error // why it failed, where that is ours to look at
}

type accessLogKey struct{}

// accessLogOf gives the accessLog of a request that came through ServeHTTP.
func accessLogOf(r *http.Request) *accessLog {
	if entry, ok := r.Context().Value(accessLogKey{}).(*accessLog); ok {
		return entry
	}
	return &accessLog{}
}

// begin notes a request. Callers must end it.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request) *accessLog {
	entry := &accessLog{id: strings.ToLower(rand.Text()), span: trace.SpanFromContext(r.Context()), started: time.Now()}
	entry.client, entry.secure, entry.proxied = g.clientOf(r)
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		entry.conn = c
		c.enter()
	}
	entry.answer = &answer{ResponseWriter: w}
	entry.request = r.WithContext(context.WithValue(r.Context(), accessLogKey{}, entry))
	if r.Body == nil || r.Body == http.NoBody {
		// Nothing is to be read: the server's deadline would only end the context of an answer that
		// takes longer.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // only real connections have one
	} else {
		entry.holdBody()
	}
	entry.answer.Header().Set("X-Request-Id", entry.id)
	return entry
}

// end answers for a handler that panicked, writes the one line of the access log, and reads what is
// left of the body. Meanwhile the connection counts as quiet: it may be closed for another.
func (g *Gateway) end(entry *accessLog) {
	recovered := recover()
	if recovered != nil && errors.Is(asError(recovered), http.ErrAbortHandler) {
		entry.cause, entry.cut = asError(recovered), true
	} else if recovered != nil {
		entry.cause = asError(recovered)
		g.log.Error("http.panicked", zap.String("http_request_id", entry.id), zap.Error(entry.cause), zap.ByteString("stack", debug.Stack()))
		if entry.answer.status == 0 {
			g.refuse(entry.answer, entry.request, &problem.Error{Kind: problem.Internal})
			recovered = nil
		}
	}
	if entry.conn != nil {
		entry.conn.leave()
	}
	g.cfg.Requested(cmp.Or(entry.route, "none"), entry.answer.status, time.Since(entry.started))
	describe(entry)
	g.logAccess(entry)
	if recovered != nil {
		panic(http.ErrAbortHandler) // what was begun must not look whole
	}
	g.drain(entry)
}

func asError(v any) error {
	if err, ok := v.(error); ok {
		return err
	}
	return fmt.Errorf("panic: %v", v)
}

// logAccess bounds what a caller can write into the log.
func (g *Gateway) logAccess(entry *accessLog) {
	r, level := entry.request, zapcore.InfoLevel
	path := r.URL.EscapedPath() // never the query: calls passed on may hold keys in it
	switch {
	case entry.answer.status >= http.StatusInternalServerError, entry.cut:
		level = zapcore.WarnLevel
	case quiet(path) && entry.answer.status < http.StatusBadRequest:
		level = zapcore.DebugLevel
	}
	line := g.log.Check(level, "http.request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("http_request_id", entry.id), zap.String("method", fmt.Sprintf("%.16s", r.Method)), zap.String("path", fmt.Sprintf("%.256s", path)),
		zap.Int("status", entry.answer.status), zap.Int64("bytes", entry.answer.bytes),
		zap.Int64("duration_ms", time.Since(entry.started).Milliseconds()), zap.String("client", entry.client.String()),
	}
	for _, f := range []struct{ name, value string }{
		{"token_name", entry.identity.Name},
		{"role", string(entry.identity.Role)},
		{"account", entry.account},
		{"upload_id", entry.uploadID},
		{"order_id", fmt.Sprintf("%.64s", entry.orderID)},
		{"trace_id", traceID(entry.span)},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.name, f.value))
		}
	}
	if entry.cause != nil {
		fields = append(fields, zap.Error(entry.cause))
	}
	line.Write(fields...)
}

// quiet says whether a path is that of a probe, of a scrape, or of a file of the pages, ours or
// asynqmon's.
func quiet(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/metrics" ||
		strings.HasPrefix(path, "/static/") || strings.HasPrefix(path, "/queues/static/")
}

// answer notes what was answered.
type answer struct {
	http.ResponseWriter

	status int // 0: nothing yet
	bytes  int64
}

// WriteHeader notes the final status and passes it on.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
