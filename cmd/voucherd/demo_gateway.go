package main

import (
	"context"
	"fmt"
	"net"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/internal/config"
)

// demoGatewayAddress is where the gateway listens by itself; another free port serves as well.
const demoGatewayAddress = "127.0.0.1:8080"

// startGateway opens the gateway of the demo's account, without tokens: on loopback, for whoever
// watches.
func (w *world) startGateway(ctx context.Context, cfg config.Config) error {
	g, err := w.worker.Store.NewGateway(cfg, gateway.Config{}, w.worker.Metrics)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", demoGatewayAddress)
	if err != nil {
		listener, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return fmt.Errorf("listen for the gateway: %w", err)
	}
	w.gatewayURL = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, listener) }()
	w.ends = append(w.ends, func() error { cancel(); return <-ended })
	return nil
}
