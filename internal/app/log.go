package app

import (
	"context"
	"io"
	"os"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/voucherd/voucherd/internal/build"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/tracing"
)

// NewLog gives the log of a long-running command: for people when it goes to a terminal, else for
// programs, unless cfg says which.
func NewLog(to io.Writer, cfg config.Config) *zap.Logger {
	e := zap.NewProductionEncoderConfig()
	e.TimeKey, e.MessageKey = "time", "event"
	e.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	e.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(e)
	if cfg.LogFormat == config.LogConsole || cfg.LogFormat != config.LogJSON && isTerminal(to) {
		e.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(e)
	}
	level := zapcore.InfoLevel
	if cfg.LogDebug {
		level = zapcore.DebugLevel
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(to)), level))
}

// OpenTraces opens what the settings say of traces; nil when they say nothing. That they cannot be
// sent is logged.
func OpenTraces(ctx context.Context, cfg config.Config, log *zap.Logger) (*tracing.Traces, error) {
	if cfg.TracesTo != "" {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces.failed", zap.Error(err)) }))
	}
	return tracing.Open(ctx, cfg.TracesTo, build.Read().Version)
}

func isTerminal(to io.Writer) bool {
	f, ok := to.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
