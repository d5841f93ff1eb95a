package tasks

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// Rotated counts what Rotate found.
type Rotated struct {
	Anew    int // vouchers that were encrypted anew
	Current int // encrypted to the recipients of today already
	Sending int // of uploads that were being sent all the time
	Locked  int // that no identity opens
	Lost    int // missing from the blob store, or damaged
}

// Rotate encrypts the vouchers of undelivered uploads, rejected and expired ones too, to the
// recipients of today. Workers may deliver and producers enqueue meanwhile. Doing it again changes
// what is left; each voucher is in one form or the other at any time. It calls progress after each
// upload, one call at a time. It holds the ids of these uploads in memory, not the vouchers.
func (c *Client) Rotate(ctx context.Context, with *blob.Rotation, progress func(done, all int)) (Rotated, error) {
	r := &rotation{Client: c, with: with, progress: progress, seen: map[string]bool{}}
	accounts, err := c.ledger.Accounts(ctx)
	for _, account := range accounts {
		var n ledger.Counts
		if n, err = c.ledger.Counts(ctx, account); err != nil {
			break
		}
		r.all += int(n.Unfinished() + n.ByState[ledger.Rejected] + n.ByState[ledger.Expired])
	}
	// In the order in which uploads move on: what is delivered meanwhile need not be seen. What was
	// being sent goes back, too, and may have been in neither list.
	for _, state := range []ledger.State{
		ledger.Queued, ledger.Waiting, ledger.Sending, ledger.Queued, ledger.Waiting, ledger.Rejected, ledger.Expired,
	} {
		if err == nil {
			err = r.walk(ctx, state)
		}
	}
	for _, id := range r.later {
		if err == nil {
			err = r.oneLater(ctx, id)
		}
	}
	return r.told, c.explain(err)
}

// rotation is one Rotate.
type rotation struct {
	*Client

	with     *blob.Rotation
	progress func(done, all int)
	all      int
	seen     map[string]bool // ids of uploads that were in a list

	mu    sync.Mutex
	done  int
	told  Rotated
	later []string // uploads that were being sent, or changed meanwhile
}

const (
	rotatePage = 100
	rotateOnce = 8 // vouchers at a time; those that the ledger keeps are held in memory
)

func (r *rotation) walk(ctx context.Context, state ledger.State) error {
	for cursor := ""; ; {
		page, err := r.ledger.List(ctx, ledger.Query{State: state, OldestFirst: true, Cursor: cursor, Limit: rotatePage})
		if err != nil {
			return err
		}
		group, each := errgroup.WithContext(ctx)
		group.SetLimit(rotateOnce)
		for _, u := range page.Uploads {
			if r.seen[u.ID] {
				continue
			}
			r.seen[u.ID] = true
			group.Go(func() error {
				became, err := r.one(each, u)
				r.tell(u.ID, became, err)
				return unlessAboutOne(err)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if cursor = page.Cursor; cursor == "" {
			return nil
		}
	}
}

// oneLater looks again at an upload that was being sent.
func (r *rotation) oneLater(ctx context.Context, id string) error {
	u, err := r.ledger.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && (u.State == ledger.Delivered || u.State == ledger.Discarded) {
		return nil
	}
	if err != nil {
		return err
	}
	became, err := r.one(ctx, u)
	if err == nil && !became {
		r.told.Sending++
		return nil
	}
	r.tell(id, became, err)
	return unlessAboutOne(err)
}

// unlessAboutOne gives an error that ends the walk.
func unlessAboutOne(err error) error {
	if errors.Is(err, blob.ErrCurrent) || errors.Is(err, blob.ErrLocked) || errors.Is(err, blob.ErrMissing) || errors.Is(err, blob.ErrDamaged) {
		return nil
	}
	return err
}

// tell counts what came of one voucher.
func (r *rotation) tell(id string, anew bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, blob.ErrCurrent):
		r.told.Current++
	case errors.Is(err, blob.ErrLocked):
		r.told.Locked++
	case errors.Is(err, blob.ErrMissing), errors.Is(err, blob.ErrDamaged):
		r.told.Lost++
	case err != nil:
		return
	case anew:
		r.told.Anew++
	default:
		r.later = append(r.later, id)
		return
	}
	r.done++
	r.progress(r.done, max(r.done, r.all))
}

// one encrypts an upload's voucher anew, and says whether it did: not while it is being sent.
func (r *rotation) one(ctx context.Context, u ledger.Upload) (anew bool, err error) {
	e := blob.Entry{Key: u.StoreKey, Size: u.Size, SHA256: u.SHA256, CRC32C: u.CRC32C}
	switch {
	case u.State == ledger.Sending:
		return false, nil
	case u.StoreKey != "":
		anew, err = r.stored(ctx, u, e)
	default:
		anew, err = r.inline(ctx, u, e)
	}
	if errors.Is(err, blob.ErrMissing) || errors.Is(err, ledger.ErrNotKept) || errors.Is(err, blob.ErrDamaged) {
		return r.lost(ctx, u, err)
	}
	return anew, err
}

// lost says whether a voucher is lost, or its upload only has other bytes by now, or none any more.
func (r *rotation) lost(ctx context.Context, u ledger.Upload, err error) (bool, error) {
	now, getErr := r.ledger.Get(ctx, u.ID)
	switch {
	case errors.Is(getErr, ledger.ErrNotFound):
		return false, nil
	case getErr != nil:
		return false, getErr
	case now.State != u.State, now.StoreKey != u.StoreKey, now.CRC32C != u.CRC32C:
		return false, nil
	case errors.Is(err, ledger.ErrNotKept):
		return false, blob.ErrMissing
	}
	return false, err
}

func (r *rotation) inline(ctx context.Context, u ledger.Upload, e blob.Entry) (bool, error) {
	pieces, err := r.ledger.Voucher(ctx, u.ID)
	if err != nil {
		return false, err
	}
	kept, e, err := r.with.Pieces(pieces, e)
	if err != nil {
		return false, err
	}
	return r.ledger.HoldInstead(ctx, ledger.Instead{ID: u.ID, CRC32C: e.CRC32C, Inline: kept})
}

func (r *rotation) stored(ctx context.Context, u ledger.Upload, e blob.Entry) (bool, error) {
	known, err := r.store.Noted(ctx, e.Key)
	if err != nil && !errors.Is(err, blob.ErrMissing) {
		return false, err
	}
	again, err := r.with.Voucher(ctx, blob.Meta{
		Account: u.Account, OrderID: u.OrderID, UserID: u.UserID, Reference: u.Reference, MediaType: u.MediaType, CameAt: known.Came(),
	}, e)
	if err != nil {
		return false, err
	}
	ctx, cancel := uncut(ctx)
	defer cancel()
	if known.State != "" {
		if err = r.store.Note(ctx, again.Key, known.Note); err != nil {
			return false, err // The reconciler deletes what nobody claims.
		}
	}
	held, err := r.ledger.HoldInstead(ctx, ledger.Instead{ID: u.ID, Former: e.Key, StoreKey: again.Key, CRC32C: again.CRC32C})
	switch {
	case err != nil: // It may be held.
		return false, err
	case !held:
		return false, r.store.Delete(ctx, again.Key)
	}
	if err = r.store.Claim(ctx, again.Key); err != nil {
		return true, err
	}
	return true, r.store.Delete(ctx, e.Key)
}
