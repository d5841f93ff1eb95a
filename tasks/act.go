package tasks

import (
	"context"
	"errors"
	"fmt"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// Retry sends a rejected or expired upload again with a fresh budget, a waiting one now, and gives
// a queued one a new task, should its own be lost. Its record keeps who did so. Errors:
// ledger.ErrNotFound, ledger.ErrNotKept, *ledger.StateError; that of a context that ended before
// anything was done.
func (c *Client) Retry(ctx context.Context, id string, who ledger.Who) (ledger.Upload, error) {
	if err := ctx.Err(); err != nil {
		return ledger.Upload{}, err
	}
	ctx, cancel := uncut(ctx)
	defer cancel()
	t, err := c.ledger.Reopen(ctx, id, who)
	if err != nil {
		return ledger.Upload{}, c.explain(err)
	}
	if err = c.put(ctx, t, 0); err != nil {
		return ledger.Upload{}, c.explain(err)
	}
	u, err := c.Get(ctx, id)
	if err != nil || u.StoreKey == "" {
		return u, err
	}
	// What the blob store had noted of its end no longer holds.
	if err := c.store.Note(ctx, u.StoreKey, blob.Note{}); err != nil && !errors.Is(err, blob.ErrMissing) {
		return u, fmt.Errorf("note the retry in the blob store: %w", err)
	}
	return u, nil
}

// Discard gives up on an upload that is not being sent, and deletes its voucher. Its record keeps
// who did so. Errors: ledger.ErrNotFound, *ledger.StateError; that of a context that ended before
// anything was done.
func (c *Client) Discard(ctx context.Context, id string, who ledger.Who) (ledger.Upload, error) {
	u, err := c.discard(ctx, id, who)
	return u, c.explain(err)
}

func (c *Client) discard(ctx context.Context, id string, who ledger.Who) (ledger.Upload, error) {
	if err := ctx.Err(); err != nil {
		return ledger.Upload{}, err
	}
	ctx, cancel := uncut(ctx)
	defer cancel()
	next, worthless, err := c.ledger.Discard(ctx, id, who)
	if err != nil {
		return ledger.Upload{}, err
	}
	if err = c.put(ctx, next, 0); err != nil {
		return ledger.Upload{}, err
	}
	u, err := c.ledger.Get(ctx, id)
	if err != nil {
		return ledger.Upload{}, err
	}
	if worthless != 0 {
		c.drop(u.Account, id, worthless)
	}
	if u.StoreKey == "" || u.State != ledger.Discarded { // revived meanwhile: the voucher is another one
		return u, nil
	}
	if err := c.store.Delete(ctx, u.StoreKey); err != nil {
		return ledger.Upload{}, err
	}
	if err := c.ledger.Left(ctx, u.Account, []ledger.Kept{{ID: id, StoreKey: u.StoreKey}}); err != nil {
		return ledger.Upload{}, err
	}
	u.StoreKey = ""
	return u, nil
}
