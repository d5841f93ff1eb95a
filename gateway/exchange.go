package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// exchange is one request and what is known of it; its access log line is made of it.
type exchange struct {
	id       string
	started  time.Time
	client   netip.Addr // zero: not known
	proxied  bool       // a header says that somebody else's request was forwarded
	secure   bool       // the client came by HTTPS
	identity Identity
	request  *http.Request
	answer   *answer
	conn     *conn
	body     *requestBody // nil: there is none, or nothing of it need be drained

	account, uploadID, orderID string
	cut                        bool  // the answer ended in the middle
	cause                      error // why it failed, where that is ours to look at
}

type exchangeKey struct{}

// exchangeOf gives the exchange of a request that came through ServeHTTP.
func exchangeOf(r *http.Request) *exchange {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// IdentityOf says who makes a request that a route of the gateway let through.
func IdentityOf(r *http.Request) Identity { return exchangeOf(r).identity }

// begin notes a request. Callers must end it.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{id: strings.ToLower(rand.Text()), started: time.Now()}
	x.client, x.secure, x.proxied = g.clientOf(r)
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		x.conn = c
		c.enter()
	}
	x.answer = &answer{ResponseWriter: w}
	x.request = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if r.Body == nil || r.Body == http.NoBody {
		// Nothing is to be read: the server's deadline would only end the context of an answer that takes longer.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // only real connections have one
	} else {
		x.holdBody()
	}
	x.answer.Header().Set("X-Request-Id", x.id)
	return x
}

// end answers for a handler that panicked, writes the one line of the access log, and reads what is left of the body.
// Meanwhile the connection counts as quiet: it may be closed for another.
func (g *Gateway) end(x *exchange) {
	recovered := recover()
	if recovered != nil && errors.Is(asError(recovered), http.ErrAbortHandler) {
		x.cause, x.cut = asError(recovered), true
	} else if recovered != nil {
		x.cause = asError(recovered)
		g.log.Error("http.panicked", zap.String("http_request_id", x.id), zap.Error(x.cause), zap.ByteString("stack", debug.Stack()))
		if x.answer.status == 0 {
			g.refuse(x.answer, x.request, &problem{kind: problemInternal})
			recovered = nil
		}
	}
	if x.conn != nil {
		x.conn.leave()
	}
	g.logAccess(x)
	if recovered != nil {
		panic(http.ErrAbortHandler) // what was begun must not look whole
	}
	g.drain(x)
}

func asError(v any) error {
	if err, ok := v.(error); ok {
		return err
	}
	return fmt.Errorf("panic: %v", v)
}

// loggedPath bounds what a caller can write into the log by its path.
const loggedPath = 256

func (g *Gateway) logAccess(x *exchange) {
	r, level := x.request, zapcore.InfoLevel
	path := r.URL.EscapedPath() // never the query: calls passed on may hold keys in it
	switch {
	case x.answer.status >= http.StatusInternalServerError, x.cut:
		level = zapcore.WarnLevel
	case path == "/livez", path == "/readyz", path == "/metrics":
		level = zapcore.DebugLevel
	}
	line := g.log.Check(level, "http.request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("http_request_id", x.id), zap.String("method", clip(r.Method, 16)), zap.String("path", clip(path, loggedPath)),
		zap.Int("status", x.answer.status), zap.Int64("bytes", x.answer.bytes),
		zap.Int64("duration_ms", time.Since(x.started).Milliseconds()), zap.String("client", x.client.String()),
	}
	for _, f := range []struct{ name, value string }{
		{"token_name", x.identity.Name},
		{"role", string(x.identity.Role)},
		{"account", x.account},
		{"upload_id", x.uploadID},
		{"order_id", clip(x.orderID, 64)},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.name, f.value))
		}
	}
	if x.cause != nil {
		fields = append(fields, zap.Error(x.cause))
	}
	line.Write(fields...)
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
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
