package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// Rebuilt counts what Rebuild found.
type Rebuilt struct {
	Requeued int // uploads of the ledger that had lost their task
	Restored int // uploads that the ledger did not know, or only as ended before: queued again, or as dead as they were
	Known    int // uploads that the ledger knew
	Leftover int // what a cut-off delivery or discard had left, deleted
	Damaged  int // vouchers that cannot be sent any more
}

// Rebuild makes the ledger's indexes anew from its records, and then puts every undelivered upload
// of a file store back into a Redis that lost all or some of its records; vouchers kept in Redis
// are lost with it. Doing it again changes nothing. Each upload put back begins with a fresh
// budget; what was sent just before the loss may be sent twice, unless the blob store still knows
// that it was delivered. It calls progress after each upload of the store. It holds the metadata of
// the whole backlog in memory, not the vouchers.
func (c *Client) Rebuild(ctx context.Context, progress func(done, all int)) (Rebuilt, error) {
	r, err := c.sweep(ctx)
	if err != nil {
		return r, c.explain(err)
	}
	var found []blob.Stored
	for s, err := range c.store.All(ctx) {
		switch {
		case errors.Is(err, blob.ErrMissing):
			if err = c.store.Delete(ctx, s.Key); err != nil {
				return r, err
			}
			r.Leftover++
		case errors.Is(err, blob.ErrDamaged):
			r.Damaged++
		case err != nil:
			return r, err
		default:
			found = append(found, s)
		}
	}
	// Uploads of one order go back into their order queue in the order in which they came.
	slices.SortStableFunc(found, func(a, b blob.Stored) int { return a.Came().Compare(b.Came()) })
	account := ""
	for i, s := range found {
		// asynq's client believes that it has made the queue known already.
		if s.Account != account {
			if err := c.Bind(ctx, s.Account); err != nil {
				return r, err
			}
			account = s.Account
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
	accounts, err := c.ledger.Accounts(ctx)
	if err != nil {
		return r, err
	}
	for _, account := range accounts {
		for cursor := ""; ; {
			found, err := c.ledger.Sweep(ctx, account, cursor, sweepPage)
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
func (c *Client) restore(ctx context.Context, s blob.Stored) (known bool, err error) {
	if err = ctx.Err(); err != nil {
		return false, err
	}
	ctx, cancel := uncut(ctx)
	defer cancel()
	id := ledger.UploadID(s.Account, s.UserID, s.OrderID, s.SHA256)
	u, err := c.ledger.Get(ctx, id)
	again := err == nil && c.enqueuedAgain(ctx, u, s)
	if err == nil && u.State == ledger.Delivered && !again {
		return true, nil
	}
	if err == nil && u.StoreKey == s.Key && s.State != string(ledger.Delivered) {
		return true, c.put(ctx, ledger.Task{ID: id, Generation: queuedGeneration(u)}, 0)
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
	n := ledger.NewUpload{
		Account: s.Account, OrderID: s.OrderID, UserID: s.UserID, Reference: s.Reference,
		SHA256: s.SHA256, CRC32C: s.CRC32C, Size: s.Size, MediaType: s.MediaType, StoreKey: s.Key, Ended: ended, Again: again,
	}
	o, err := c.ledger.Open(ctx, n)
	if err != nil {
		return false, err
	}
	if err := c.settle(ctx, n, o); err != nil {
		return false, fmt.Errorf("restore %s: %w", id, err)
	}
	return o.Duplicate, nil
}

// enqueuedAgain says whether a stored voucher is one with which an upload that had ended was
// enqueued again, of which the ledger knows nothing. Then it is not the one that the upload had,
// and came after that end: what a crash left of one that was sent came before it. A worker may have
// delivered it since it was listed.
func (c *Client) enqueuedAgain(ctx context.Context, u ledger.Upload, s blob.Stored) bool {
	return u.State.Final() && s.State != string(ledger.Delivered) && s.Key != u.StoreKey &&
		s.Came().After(endOf(u)) && !c.delivered(ctx, s.Key)
}

// endOf is when an upload ended: a delivery that was recorded anew, when its attempt did.
func endOf(u ledger.Upload) time.Time {
	for _, a := range slices.Backward(u.Attempts) {
		if u.State == ledger.Delivered && a.Outcome == ledger.OutcomeDelivered {
			return a.EndedAt.Time
		}
	}
	return u.EndedAt.Time
}

// restoreDelivered records an upload as delivered, as the blob store noted it, and puts the next
// one's task.
func (c *Client) restoreDelivered(ctx context.Context, id string, s blob.Stored) (known bool, err error) {
	var a ledger.Attempt
	if err = json.Unmarshal(s.Result, &a); err != nil {
		return false, nil //nolint:nilerr // what a crash cut off is no note; its voucher is gone
	}
	opened, err := c.ledger.Open(ctx, ledger.NewUpload{
		Account: s.Account, OrderID: s.OrderID, UserID: s.UserID, Reference: s.Reference,
		SHA256: s.SHA256, CRC32C: s.CRC32C, Size: s.Size, MediaType: s.MediaType, StoreKey: s.Key,
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

// queuedGeneration is the generation of the task that a queued upload should have: 0 while it waits
// behind another in its order queue. It is 0 for any other upload: the reconciler looks after those
// that are being sent, or whose attempt is due later.
func queuedGeneration(u ledger.Upload) int64 {
	if u.State == ledger.Queued {
		return u.Generation
	}
	return 0
}
