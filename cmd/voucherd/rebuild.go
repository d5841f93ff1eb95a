package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
)

type rebuildCmd struct {
	kong.Plugins
}

// Run makes the ledger's indexes anew, and puts every undelivered upload of a file store back into
// Redis.
func (c *rebuildCmd) Run(ctx context.Context, s *session) error {
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		var b bar
		r, err := st.Tasks.Rebuild(ctx, func(done, all int) {
			if done == 1 {
				b = newBar(s.stderr, all)
			}
			b.add()
		})
		b.close()
		if err != nil {
			return fmt.Errorf("rebuild, and run it again to go on: %w", err)
		}
		fmt.Fprintf(s.stdout, "The ledger's indexes agree with its records; %d tasks that were missing are put.\n", r.Requeued)
		fmt.Fprintf(s.stdout, "%d uploads restored, %d were known, %d leftovers deleted.\n", r.Restored, r.Known, r.Leftover)
		if r.Damaged > 0 {
			return fmt.Errorf("%d vouchers in the blob store are damaged and cannot be sent: enqueue them again", r.Damaged)
		}
		return nil
	})
}
