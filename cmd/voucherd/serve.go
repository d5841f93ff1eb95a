package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/internal/config"
)

// Limits of our own HTTP servers.
const (
	headerLimit = 5 * time.Second
	idleLimit   = time.Minute
	stopLimit   = 5 * time.Second // for calls under way when the server is stopped
)

// serve answers on a listener until stop is called, which waits for calls under way. The context only carries values.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *zap.Logger) (stop func()) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, ErrorLog: zap.NewStdLog(log),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("http.failed", zap.Error(err))
		}
	}()
	return func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		if err := server.Shutdown(limited); err != nil {
			_ = server.Close() // what did not end in time is cut
		}
		<-done
	}
}

// newLog gives the log of a long-running command.
func newLog(to io.Writer, cfg config.Config) *zap.Logger {
	e := zap.NewProductionEncoderConfig()
	e.TimeKey, e.MessageKey = "time", "event"
	e.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	e.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(e)
	if cfg.LogConsole {
		e.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(e)
	}
	level := zapcore.InfoLevel
	if cfg.LogDebug {
		level = zapcore.DebugLevel
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(to)), level))
}
