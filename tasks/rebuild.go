package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/vault"
)

// Rebuilt counts what Rebuild found.
type Rebuilt struct {
	Requeued int // uploads of the ledger that had lost their task
	Restored int // uploads that the ledger did not know: queued again, or as dead as they were
	Known    int // uploads that the ledger knew
	Leftover int // what a cut-off delivery or discard had left, deleted
	Damaged  int // vouchers that cannot be sent any more
}

// catalogue is a vault that can say what it holds: one that outlives Redis.
type catalogue interface {
	All(ctx context.Context) iter.Seq2[vault.Stored, error]
}

// Rebuild makes the ledger's indexes anew from its records, and then puts every undelivered upload of a file vault back
// into a Redis that lost all or some of its records; vouchers kept in Redis are lost with it. Doing it again changes
// nothing. Each upload put back begins with a fresh budget; what was sent just before the loss may be sent twice, unless
// the vault still knows that it was delivered. It calls progress after each upload of the vault. It holds the metadata
// of the whole backlog in memory, not the vouchers.
func (c *Client) Rebuild(ctx context.Context, progress func(done, all int)) (Rebuilt, error) {
	r, err := c.sweep(ctx)
	cat, ok := c.vault.(catalogue)
	if err != nil || !ok {
		return r, c.explain(err)
	}
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

const sweepPage = 500 // entries

// sweep looks at every record of the ledger, whatever its indexes say.
func (c *Client) sweep(ctx context.Context) (r Rebuilt, err error) {
	lanes, err := c.ledger.Lanes(ctx)
	if err != nil {
		return r, err
	}
	for _, lane := range lanes {
		for cursor := ""; ; {
			found, err := c.ledger.Sweep(ctx, lane, cursor, sweepPage)
			if err != nil {
				return r, err
			}
			for _, p := range found.Repairs {
				if err := c.put(ctx, p.Task, p.Wait); err != nil {
					return r, err
				}
				r.Requeued++
			}
			if cursor = found.Cursor; cursor == "" {
				break
			}
		}
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
	if err == nil && u.State == ledger.Delivered {
		return true, nil
	}
	if err == nil && u.VaultKey == s.Key && s.State != string(ledger.Delivered) {
		return true, c.put(ctx, ledger.Task{ID: id, Generation: generationOfHead(u)}, 0)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return false, err
	}
	if s.State == string(ledger.Delivered) {
		return c.restoreDelivered(ctx, id, s)
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

// restoreDelivered records an upload as delivered, as the vault noted it, and puts the next one's task.
func (c *Client) restoreDelivered(ctx context.Context, id string, s vault.Stored) (known bool, err error) {
	var a ledger.Attempt
	if err = json.Unmarshal(s.Result, &a); err != nil {
		return false, nil //nolint:nilerr // what a crash cut off is no note; its voucher is gone
	}
	opened, err := c.ledger.Open(ctx, ledger.NewUpload{
		Lane: s.Lane, OrderID: s.OrderID, UserID: s.UserID, Reference: s.Reference,
		SHA256: s.SHA256, CRC32C: s.CRC32C, Size: s.Size, MediaType: s.MediaType, VaultKey: s.Key,
	})
	if err != nil {
		return false, err
	}
	rec, err := c.ledger.RecordDelivery(ctx, id, a)
	if err != nil {
		return false, err
	}
	return opened.Duplicate, c.put(ctx, ledger.Task{ID: rec.NextID, Generation: rec.NextGen}, 0)
}

// generationOfHead is the generation whose task should be on the queue; 0 for an upload that is finished, is being
// sent, or whose attempt is due later: the reconciler looks after those.
func generationOfHead(u ledger.Upload) int64 {
	if u.State == ledger.Queued {
		return u.Generation
	}
	return 0
}
