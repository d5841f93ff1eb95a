package worker

import (
	"context"

	"github.com/hibiken/asynq"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/voucherd/voucherd/ledger"
)

// traced gives the context of a task: its attempts belong to the trace of whoever enqueued it.
func traced(ctx context.Context, t *asynq.Task) context.Context {
	if len(t.Headers()) == 0 {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(t.Headers()))
}

// untraced is for what concerns another upload than the one that the context's trace is about.
func untraced(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.SpanContext{})
}

// span is that of one attempt, in the terms of OpenTelemetry's conventions for messaging and HTTP.
func (d *delivery) span(ctx context.Context, run ledger.Running) trace.Span {
	_, span := d.tracer.Start(ctx, "process "+ledger.Queue(run.Account), trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.system", "asynq"), attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.operation.name", "process"), attribute.String("messaging.destination.name", ledger.Queue(run.Account)),
			attribute.String("messaging.message.id", ledger.TaskID(run.ID, run.Generation)),
			attribute.String("voucherd.account", run.Account), attribute.String("voucherd.upload.id", run.ID),
			attribute.String("voucherd.order.id", run.OrderID), attribute.Int("voucherd.attempt", run.Number),
		)
	}
	return span
}

// traceID is what finds a span's trace; "" when nobody keeps it.
func traceID(span trace.Span) string {
	if sc := span.SpanContext(); sc.IsSampled() {
		return sc.TraceID().String()
	}
	return ""
}

// endSpan says what an attempt came to.
func endSpan(span trace.Span, o ledger.AttemptResult) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("voucherd.outcome", string(o.Outcome)))
		if o.HTTPStatus != 0 {
			span.SetAttributes(attribute.String("http.request.method", "POST"), attribute.Int("http.response.status_code", o.HTTPStatus))
		}
		if o.RequestID != "" {
			span.SetAttributes(attribute.String("voucherd.request.id", o.RequestID))
		}
		if o.Outcome != ledger.OutcomeDelivered && o.Outcome != "" {
			span.SetAttributes(attribute.String("error.type", string(o.Outcome)))
			span.SetStatus(codes.Error, string(o.Outcome))
		}
	}
	span.End()
}
