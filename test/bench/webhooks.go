package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
)

// runWebhooks compares the rate without webhooks and with a receiver that refuses connections, or
// takes them and says nothing.
func (b *bench) runWebhooks(ctx context.Context) error {
	hangs, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer hangs.Close() //nolint:errcheck // it did nothing
	refuses, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err == nil {
		err = refuses.Close()
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	receivers := []string{"none", "refuses", "hangs"}
	addresses := map[string]string{"refuses": refuses.Addr().String(), "hangs": hangs.Addr().String()}
	return b.rounds(func(round int) error {
		for _, receiver := range receivers {
			sys := inRedis()
			if at := addresses[receiver]; at != "" {
				sys.webhook = "http://" + at
			}
			s, err := b.measure(ctx, b.one(sys), b.load(5000, 20<<10), "webhooks/receiver="+receiver)
			if err != nil {
				return err
			}
			b.keep(round, s)
		}
		slices.Reverse(receivers)
		return nil
	})
}

// setWebhook has the workers send events, signed with a secret of their own.
func (d *deployment) setWebhook() error {
	key := make([]byte, 32)
	_, err := rand.Read(key)
	file := filepath.Join(d.b.dir, d.name+"-webhook-secret")
	d.env["VOUCHERD_WEBHOOK_URL"], d.env["VOUCHERD_WEBHOOK_SECRET_FILE"], d.env["VOUCHERD_WEBHOOK_ALLOW_PRIVATE"] = d.system.webhook, file, "yes"
	return errors.Join(err, os.WriteFile(file, []byte("whsec_"+base64.StdEncoding.EncodeToString(key)), 0o600))
}
