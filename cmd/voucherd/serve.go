package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
)

// Limits of our own HTTP servers.
const (
	headerLimit = 5 * time.Second
	idleLimit   = time.Minute
	stopLimit   = 5 * time.Second // for calls under way when the server is stopped
)

// serve answers on a listener until stop is called, which waits for calls under way. The context
// only carries values.
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

// openLog opens the log of a long-running command, and logs what is odd about its settings.
func (s *session) openLog(cfg config.Config) *zap.Logger {
	log := app.NewLog(s.stderr, cfg)
	for _, w := range cfg.Warnings {
		log.Warn("settings.warning", zap.String("warning", w))
	}
	s.logUnknown(log)
	return log
}
