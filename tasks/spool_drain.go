package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/crashpoint"
	"github.com/voucherd/voucherd/ledger"
)

const (
	spoolBatch  = 64                     // vouchers that are sorted by their orders at a time
	spoolOnce   = 8                      // that are enqueued at a time, and held in memory
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

// DrainSpool enqueues what waits in the spool. The error says why something is left; an
// *UnreachableError that Redis is still away.
func (c *Client) DrainSpool(ctx context.Context) (Drained, error) {
	d, err := c.spool.drain(ctx, func(ctx context.Context, r Request) error {
		s, err := c.sniff(r.Voucher)
		if err != nil {
			return err
		}
		_, err = c.direct(ctx, r, s)
		return err
	})
	return d, c.explain(err)
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

// Drained tells what became of a part of the spool.
type Drained struct {
	Enqueued int
	Refused  map[string]error // file names in refused/, and why
}

// drain enqueues what waits, in the order of arrival for each order, until nothing is left or an
// error tells that it cannot go on now. While another process does, it leaves that to it: a voucher
// that is enqueued twice at once would discard what came after it, or be sent twice.
func (s *spool) drain(ctx context.Context, enqueue func(context.Context, Request) error) (Drained, error) {
	d := &draining{spool: s, enqueue: enqueue, told: Drained{Refused: map[string]error{}}}
	lock, err := s.lock()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return d.told, nil
	}
	if err != nil {
		return d.told, fmt.Errorf("lock the spool: %w", err)
	}
	defer func() { _ = lock.Close() }() // which unlocks it, as the end of the process does
	names, err := s.waiting()
	for batch := range slices.Chunk(names, spoolBatch) {
		if err == nil {
			err = d.batch(ctx, batch)
		}
	}
	if len(names) > 0 {
		_, stale := s.status()
		err = errors.Join(err, syncDir(filepath.Join(s.dir, spoolWaiting)), stale)
	}
	return d.told, err
}

// lock locks the spool until the file is closed. The error is syscall.EWOULDBLOCK while another
// process has locked it.
func (s *spool) lock() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, spoolLock), os.O_RDWR|os.O_CREATE, 0o600) // NFS locks what can be written
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// draining is one round of drain.
type draining struct {
	*spool

	enqueue func(context.Context, Request) error
	mu      sync.Mutex
	told    Drained
}

func (d *draining) batch(ctx context.Context, names []string) error {
	orders := map[string][]string{}
	for _, name := range names {
		f, r, err := d.open(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // another process enqueued it
			continue
		case errors.Is(err, errSpoolDamaged):
			err = d.putAside(name, err)
		case err == nil:
			err = f.Close()
		}
		if err != nil {
			return err
		}
		orders[r.Account+"/"+r.OrderID] = append(orders[r.Account+"/"+r.OrderID], name)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(spoolOnce)
	for _, all := range orders {
		group.Go(func() error {
			for _, name := range all {
				if err := d.one(ctx, name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// one enqueues one voucher and removes it.
func (d *draining) one(ctx context.Context, name string) error {
	r, err := d.whole(name)
	if err == nil {
		err = d.enqueue(ctx, r)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // another process enqueued it, or it was put aside
		return nil
	case errors.Is(err, errSpoolDamaged), errors.Is(err, ErrInvalid):
		return d.putAside(name, err)
	case err != nil:
		return err
	}
	d.mu.Lock()
	d.told.Enqueued++
	d.mu.Unlock()
	err = crashpoint.Do("spool: remove", func() error { return os.Remove(filepath.Join(d.dir, spoolWaiting, name)) })
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && (r.Again || r.Replace) { // enqueued once more, it would not be a mere duplicate
		err = syncDir(filepath.Join(d.dir, spoolWaiting))
	}
	if err != nil {
		return fmt.Errorf("remove a voucher from the spool: %w", err)
	}
	return nil
}

func (d *draining) putAside(name string, why error) error {
	d.mu.Lock()
	d.told.Refused[name] = why
	d.mu.Unlock()
	return d.refuse(name)
}
