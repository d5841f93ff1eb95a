package tasks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/vault"
)

// Rebuilt counts what Rebuild found in a vault.
type Rebuilt struct {
	Restored int // uploads that the ledger did not know: queued again, or as dead as they were
	Known    int // uploads that the ledger knew
	Leftover int // what a cut-off delivery or discard had left, deleted
	Damaged  int // vouchers that cannot be sent any more
}

// catalogue is a vault that can say what it holds: one that outlives Redis.
type catalogue interface {
	All(ctx context.Context) iter.Seq2[vault.Stored, error]
}

// ErrNoCatalogue means that the vault went with Redis, so that nothing can be rebuilt from it.
var ErrNoCatalogue = errors.New("only a file vault can rebuild the ledger: vouchers kept in redis are lost with it")

// Rebuild puts every undelivered upload of the vault back into a Redis that lost all or some of its records. Doing it
// again changes nothing. Each upload begins with a fresh budget; what was sent just before the loss may be sent twice.
// It calls progress after each upload. It holds the metadata of the whole backlog in memory, not the vouchers.
func (c *Client) Rebuild(ctx context.Context, progress func(done, all int)) (Rebuilt, error) {
	cat, ok := c.vault.(catalogue)
	if !ok {
		return Rebuilt{}, ErrNoCatalogue
	}
	var r Rebuilt
	var found []vault.Stored
	for s, err := range cat.All(ctx) {
		switch {
		case errors.Is(err, vault.ErrMissing):
			if err = c.vault.Delete(ctx, s.Key); err != nil {
				return r, err
			}
			r.Leftover++
		case errors.Is(err, vault.ErrDamaged):
			r.Damaged++
		case err != nil:
			return r, err
		case s.UploadID != "": // else nobody was told that it was accepted
			found = append(found, s)
		}
	}
	// Uploads of one order go back into their line in the order in which they came.
	slices.SortStableFunc(found, func(a, b vault.Stored) int { return a.PutAt.Compare(b.PutAt) })
	lane := ""
	for i, s := range found {
		// asynq's client believes that it has made the queue known already.
		if s.Lane != lane {
			if err := errors.Join(c.Register(ctx, s.Lane), c.bind(ctx, s.Lane)); err != nil {
				return r, c.explain(err)
			}
			lane = s.Lane
		}
		known, err := c.restore(ctx, s)
		if err != nil {
			return r, c.explain(err)
		}
		if known {
			r.Known++
		} else {
			r.Restored++
		}
		progress(i+1, len(found))
	}
	return r, nil
}

// restore records one stored voucher, and says whether the ledger knew it.
func (c *Client) restore(ctx context.Context, s vault.Stored) (known bool, err error) {
	if err = ctx.Err(); err != nil {
		return false, err
	}
	ctx, cancel := uncut(ctx)
	defer cancel()
	id := ledger.UploadID(s.Lane, s.UserID, s.OrderID, s.SHA256)
	u, err := c.ledger.Get(ctx, id)
	if err == nil && u.VaultKey == s.Key {
		return true, c.put(ctx, ledger.Task{ID: id, Generation: generationOfHead(u)}, 0)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return false, err
	}
	ended := ledger.State("")
	if st := ledger.State(s.State); st == ledger.Rejected || st == ledger.Expired {
		ended = st
	}
	o, err := c.ledger.Open(ctx, ledger.NewUpload{
		Lane: s.Lane, OrderID: s.OrderID, UserID: s.UserID, Reference: s.Reference,
		SHA256: s.SHA256, CRC32C: s.CRC32C, Size: s.Size, MediaType: s.MediaType, VaultKey: s.Key, Ended: ended,
	})
	if err != nil {
		return false, err
	}
	if err := c.settle(ctx, s.Key, false, o); err != nil {
		return false, fmt.Errorf("restore %s: %w", id, err)
	}
	return o.Duplicate, nil
}

// generationOfHead is the generation whose task should be on the queue; 0 for an upload that is finished, is being
// sent, or whose attempt is due later: the reconciler looks after those.
func generationOfHead(u ledger.Upload) int64 {
	if u.State == ledger.Queued {
		return u.Generation
	}
	return 0
}
