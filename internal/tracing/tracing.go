// Package tracing sends OpenTelemetry traces to where the settings say.
package tracing

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Traces takes spans and sends them on in the background. nil takes none.
type Traces struct {
	provider *trace.TracerProvider
	stop     func() error
}

// sendLimit is how long the last spans may take to be sent.
const sendLimit = 5 * time.Second

// Open sends traces to an OTLP receiver by HTTP, at a URL with its path; for "" it gives nil. What
// else the standard OTEL_ variables say, the SDK reads by itself: headers, sampling, the service's
// name and attributes, batches. The caller closes it.
func Open(ctx context.Context, url, version string) (*Traces, error) {
	if url == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(url))
	if err != nil {
		return nil, fmt.Errorf("open the sender of traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "voucherd"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("describe this process to a receiver of traces: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	return &Traces{provider: provider, stop: func() error {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendLimit)
		defer cancel()
		return provider.Shutdown(limited)
	}}, nil
}

// Provider is what spans are made by; nil when there are no traces.
func (t *Traces) Provider() oteltrace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Close sends what is left, for five seconds at most.
func (t *Traces) Close() error {
	if t == nil {
		return nil
	}
	if err := t.stop(); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}
