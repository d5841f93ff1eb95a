package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/internal/crashpoint"
	"github.com/voucherd/voucherd/ledger"
)

const (
	spoolBatch = 64 // vouchers that are sorted by their orders at a time
	spoolOnce  = 8  // that are enqueued at a time, and held in memory
)

// Drained tells what became of a part of the spool.
type Drained struct {
	Enqueued int
	Refused  map[string]error // file names in refused/, and why
}

// drain enqueues what waits, in the order of arrival for each order. A voucher that cannot be
// enqueued now stays, and so does what came later of its order; an error of Redis ends the round.
// While another process does this, it leaves that to it: a voucher that is enqueued twice at once
// would discard what came after it, or be sent twice.
func (s *spool) drain(ctx context.Context, enqueue func(context.Context, Request) error) (Drained, error) {
	d := &draining{
		spool: s, enqueue: enqueue, told: Drained{Refused: map[string]error{}}, left: map[string]error{}, behind: map[orderQueue]bool{},
	}
	unlock, err := s.lock()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return d.told, nil
	}
	if err != nil {
		return d.told, fmt.Errorf("lock the spool: %w", err)
	}
	defer unlock()
	names, err := s.waiting()
	for batch := range slices.Chunk(names, spoolBatch) {
		if err == nil {
			err = d.batch(ctx, batch)
		}
	}
	if len(names) > 0 {
		_, stale := s.status()
		err = errors.Join(err, d.whyLeft(), syncDir(filepath.Join(s.dir, spoolWaiting)), stale)
	}
	return d.told, err
}

// lock locks the spool until unlock, or the end of the process. The error is syscall.EWOULDBLOCK
// while another process has locked it.
func (s *spool) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, spoolLock), os.O_RDWR|os.O_CREATE, 0o600) // NFS locks what can be written
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		// Closing alone would leave it locked while a process that this one is starting has the file, too.
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		_ = f.Close()
	}, nil
}

// draining is one round of drain.
type draining struct {
	*spool

	enqueue func(context.Context, Request) error
	mu      sync.Mutex
	told    Drained
	left    map[string]error    // names of files that stay, and why
	behind  map[orderQueue]bool // whose vouchers stay behind one of these
}

// orderQueue names the vouchers of one order; without an order, all of an account.
type orderQueue struct{ account, order string }

func (d *draining) batch(ctx context.Context, names []string) error {
	orders := map[orderQueue][]string{}
	for _, name := range names {
		q, err := d.orderOf(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a person took it away
		case errors.Is(err, errSpoolDamaged):
			d.leave(name, orderQueue{}, d.putAside(name, err))
		case errors.Is(err, fs.ErrPermission): // it needs a person, for whom the others do not wait
			d.leave(name, orderQueue{}, err)
		case err != nil: // its order cannot be told
			d.leave(name, orderQueue{account: q.account}, err)
		case !d.stays(q):
			orders[q] = append(orders[q], name)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(spoolOnce)
	for q, all := range orders {
		group.Go(func() error { return d.inOrder(ctx, q, all) })
	}
	return group.Wait()
}

// orderOf reads of which order a voucher is. With an error, it gives the account at most.
func (d *draining) orderOf(name string) (orderQueue, error) {
	f, r, err := d.open(name)
	if err == nil {
		return orderQueue{r.Account, r.OrderID}, f.Close()
	}
	_, id, _ := strings.Cut(name, "-")
	account, _, _ := ledger.ParseID(id) // "": somebody else's file
	return orderQueue{account: account}, err
}

// inOrder enqueues vouchers of one order. The error is one that ends the round.
func (d *draining) inOrder(ctx context.Context, q orderQueue, names []string) error {
	for _, name := range names {
		err := d.one(ctx, name)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil || ofRedis(err):
			return err
		case errors.Is(err, ErrNoRoom), errors.Is(err, ledger.ErrOtherStore): // the account's
			q.order = ""
		}
		d.leave(name, q, err)
		return nil
	}
	return nil
}

// ofRedis says whether an error is one that each further voucher would meet too.
func ofRedis(err error) bool {
	_, refused := errors.AsType[*RefusedError](err)
	_, lagging := errors.AsType[*ledger.ReplicasError](err)
	return refused || lagging || isUnreachable(err)
}

// one enqueues one voucher and removes it.
func (d *draining) one(ctx context.Context, name string) error {
	r, err := d.whole(name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // a person took it away
		return nil
	case errors.Is(err, errSpoolDamaged):
		return d.putAside(name, err)
	case err != nil:
		return err
	}
	err = d.enqueue(ctx, r)
	if errors.Is(err, ErrInvalid) {
		return d.putAside(name, err)
	}
	if err != nil {
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

// leave notes why a file stays, if there is an error, and whose vouchers do so behind it.
func (d *draining) leave(name string, behind orderQueue, why error) {
	if why == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left[name] = fmt.Errorf("%s: %w", name, why)
	d.behind[behind] = true
}

// stays says whether vouchers stay behind one that stays.
func (d *draining) stays(q orderQueue) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.behind[q] || d.behind[orderQueue{account: q.account}]
}

// leftMost is how many files an error names.
const leftMost = 5

// whyLeft says why files stay, the oldest first.
func (d *draining) whyLeft() error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(d.left)) {
		if len(all) == leftMost {
			all = append(all, fmt.Errorf("and %d more", len(d.left)-leftMost))
			break
		}
		all = append(all, d.left[name])
	}
	return errors.Join(all...)
}
