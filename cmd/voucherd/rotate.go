package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
)

type rotateCmd struct {
	kong.Plugins
}

// Run encrypts the vouchers of undelivered uploads to the recipients of today.
func (c *rotateCmd) Run(ctx context.Context, s *session) error {
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		with, err := st.Blob.Rotation()
		if err != nil {
			return err
		}
		var b bar
		r, err := st.Tasks.Rotate(ctx, with, func(done, all int) {
			if done == 1 {
				b = newBar(s.stderr, all)
			}
			b.add()
		})
		b.close()
		fmt.Fprintf(s.stdout, "%d vouchers encrypted anew, %d were encrypted so already.\n", r.Anew, r.Current)
		if err != nil {
			return fmt.Errorf("rotate, and run it again to go on: %w", err)
		}
		if r.Sending > 0 {
			err = fmt.Errorf("%d vouchers were being sent all the time: run it again in a minute", r.Sending)
		}
		if r.Locked > 0 {
			err = errors.Join(err, fmt.Errorf("%d vouchers open with no identity here: add theirs to the file that VOUCHERD_IDENTITY_FILE names, and run it again", r.Locked))
		}
		if r.Lost > 0 {
			err = errors.Join(err, fmt.Errorf("%d vouchers are missing or damaged, and cannot be sent: enqueue them again", r.Lost))
		}
		return err
	})
}
