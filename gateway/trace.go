package gateway

import (
	"cmp"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced is the gateway with a span for each request, in the caller's trace if there is one. Probes,
// scrapes and the pages' files have none.
func (g *Gateway) traced() http.Handler {
	if g.cfg.Traces == nil {
		return g
	}
	return otelhttp.NewHandler(g, "http", otelhttp.WithTracerProvider(g.cfg.Traces),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(func(r *http.Request) bool { return !quiet(r.URL.Path) }))
}

// describe names a request's span by its route, and says which upload it was about.
func describe(entry *accessLog) {
	span := entry.span
	if !span.IsRecording() {
		return
	}
	span.SetName(cmp.Or(entry.route, "HTTP"))
	for _, a := range []struct{ key, value string }{
		{"http.route", entry.route},
		{"voucherd.account", entry.account},
		{"voucherd.upload.id", entry.uploadID},
	} {
		if a.value != "" {
			span.SetAttributes(attribute.String(a.key, a.value))
		}
	}
}

// traceID is what finds the trace that a span belongs to; "" when nobody keeps it.
func traceID(span trace.Span) string {
	if sc := span.SpanContext(); sc.IsSampled() {
		return sc.TraceID().String()
	}
	return ""
}
