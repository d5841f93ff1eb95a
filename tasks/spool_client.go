package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

const (
	spoolEvery  = 500 * time.Millisecond // between two looks
	directLimit = 5 * time.Second        // for Redis to take a voucher that could be spooled
)

// OpenSpool has Enqueue take vouchers while Redis is away, instead of failing at once or after
// Patience: they wait in a directory, most bytes of them, and RunSpool, of this or another process,
// enqueues them when Redis is back. Call it before the client is used.
func (c *Client) OpenSpool(dir string, most int64) error {
	s, err := openSpool(dir, most)
	if err == nil {
		c.spool, c.cfg.Patience = s, 0
	}
	return err
}

// Spooled tells what waits in the spool; without one, nothing does.
func (c *Client) Spooled() (SpoolStatus, error) {
	if c.spool == nil {
		return SpoolStatus{}, nil
	}
	return c.spool.status()
}

// Spools says whether there is a spool: Enqueue then takes vouchers while Redis is away.
func (c *Client) Spools() bool { return c.spool != nil }

// RunSpool enqueues what waits in the spool, again and again until the context ends, and tells of
// each round that did anything. Without a spool it returns at once.
func (c *Client) RunSpool(ctx context.Context, tell func(Drained, error)) {
	if c.spool == nil {
		return
	}
	tick := time.NewTicker(spoolEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		if first || c.spool.pending() { // the first round makes the lock, while the disk has room for it
			tell(c.DrainSpool(ctx))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// DrainSpool enqueues what waits in the spool. The error names what is left, and says why; that
// Redis is still away is an *UnreachableError.
func (c *Client) DrainSpool(ctx context.Context) (Drained, error) {
	return c.spool.drain(ctx, func(ctx context.Context, r Request) error {
		s, err := c.sniff(r.Voucher)
		if err == nil {
			_, err = c.direct(ctx, r, s)
		}
		return c.explain(err)
	})
}

// ErrPutAside means that a voucher of the spool could not be enqueued, and never can be: its file is no
// longer what was written, or breaks a rule that was changed meanwhile.
var ErrPutAside = errors.New("the voucher can never be enqueued: it was put aside in the spool")

// WaitSpooled waits until an upload that Enqueue gave as Spooled has left the spool: it is recorded
// then, and Wait knows its end. For any other upload, and without a spool, it returns at once. The
// error is ErrPutAside, that of the context, or one of the disk.
func (c *Client) WaitSpooled(ctx context.Context, u ledger.Upload) error {
	if c.spool == nil || !u.Spooled {
		return nil
	}
	tick := time.NewTicker(spoolEvery)
	defer tick.Stop()
	name := spoolName(u.CreatedAt.Time, u.ID)
	for {
		_, err := os.Stat(filepath.Join(c.spool.dir, spoolWaiting, name))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the spool: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	aside := filepath.Join(c.spool.dir, spoolRefused, name)
	if _, err := os.Stat(aside); err == nil {
		return fmt.Errorf("%w: %s", ErrPutAside, aside)
	}
	return nil
}

// accept enqueues a voucher, or spools it while Redis is away or anything waits in the spool.
func (c *Client) accept(ctx context.Context, r Request, s *source) (ledger.Upload, error) {
	if c.spool == nil {
		return c.direct(ctx, r, s)
	}
	if !c.spool.pending() {
		limited, cancel := ctx, func() {}
		if s.after >= 0 { // what can be read once would be lost to the spool
			limited, cancel = context.WithTimeout(ctx, directLimit)
		}
		defer cancel()
		u, err := c.direct(limited, r, s)
		late := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if !late && !isUnreachable(c.explain(err)) {
			return u, err
		}
	}
	if ctx.Err() != nil {
		return ledger.Upload{}, notEnqueued(ctx)
	}
	voucher, err := s.open()
	if err != nil {
		return ledger.Upload{}, err
	}
	u, err := c.spool.keep(r, voucher)
	u.MediaType = s.mediaType
	return u, err
}
