package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"go.uber.org/zap"
)

// ErrNotLoopback means that a gateway without tokens was to listen where others can reach it.
var ErrNotLoopback = errors.New("without tokens the gateway listens on loopback only: make one with `voucherd token new`, or listen on 127.0.0.1")

// Serve answers on a listener until the context ends, and then for 30 seconds those requests that
// are under way. It closes the listener. It may be called once.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	if tcp, ok := l.Addr().(*net.TCPAddr); g.open() && ok && !tcp.IP.IsLoopback() {
		return errors.Join(ErrNotLoopback, l.Close())
	}
	defer g.dropIn.Close()
	server := g.server(ctx)
	limited := limitConns(l, g.limits.Connections)
	failed := make(chan error, 1)
	go func() {
		if g.cfg.TLS != nil {
			failed <- server.ServeTLS(limited, "", "")
		} else {
			failed <- server.Serve(limited)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	close(g.stopping)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.limits.StopTime)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		g.log.Warn("gateway.cut", zap.Duration("after", g.limits.StopTime))
		err = server.Close() // what did not end in time is cut
	}
	if serveErr := <-failed; err == nil && !errors.Is(serveErr, http.ErrServerClosed) {
		err = serveErr
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

func (g *Gateway) server(ctx context.Context) *http.Server {
	s := &http.Server{
		Handler: g.traced(), ReadHeaderTimeout: g.limits.HeaderTime, ReadTimeout: g.limits.HeaderTime + g.limits.ShortTime,
		WriteTimeout: g.limits.ShortTime, IdleTimeout: g.limits.IdleTime, MaxHeaderBytes: g.limits.HeaderBytes,
		// Requests under way go on when ctx ends, until Shutdown loses patience.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: connContext,
		// What clients do wrong in TLS or HTTP itself is of interest to those who look for it.
		ErrorLog: quietLog(g.log),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 32, MaxReceiveBufferPerStream: 128 << 10, MaxReceiveBufferPerConnection: 1 << 20,
		},
	}
	if g.cfg.TLS != nil {
		s.TLSConfig = g.cfg.TLS.config()
	}
	return s
}
