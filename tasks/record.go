package tasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// record records an upload and puts its task. When it is tried again, the outcome is unknown
// already, and the caller may end it.
func (c *Client) record(ctx context.Context, n ledger.NewUpload, again bool) (ledger.Upload, error) {
	caller := ctx
	ctx, cancel := uncut(ctx)
	defer cancel()
	n, err := c.withTask(ctx, n)
	if err != nil {
		return ledger.Upload{}, err
	}
	opening := ctx
	if again {
		opening = caller
	}
	// When Open fails its outcome is unknown: the voucher stays, and the reconciler finds out
	// whether anyone holds it.
	opened, err := c.ledger.Open(opening, n)
	if err != nil {
		return ledger.Upload{}, err
	}
	switch {
	case opened.Pending == 1:
		c.Wake(ctx, n.Account)
	case opened.Pending > 1: // no worker sleeps while tasks are pending
	default:
		if err = c.settle(ctx, n, opened); err != nil {
			return ledger.Upload{}, err
		}
	}
	if err = c.ledger.AwaitReplicas(ctx, n.Account, c.cfg.ReplicasAck); err != nil {
		return ledger.Upload{}, fmt.Errorf("upload %s is recorded; %w", opened.ID, err)
	}
	if !opened.Duplicate && !opened.Revived {
		return c.fresh(n, opened), nil
	}
	u, err := c.ledger.Get(ctx, opened.ID)
	if err != nil {
		return ledger.Upload{}, err
	}
	u.Duplicate = opened.Duplicate
	return u, nil
}

// withTask adds the task that is put in the step that records a new upload. A voucher in the store is
// to be claimed first.
func (c *Client) withTask(ctx context.Context, n ledger.NewUpload) (ledger.NewUpload, error) {
	if n.StoreKey != "" {
		return n, nil
	}
	id := ledger.UploadID(n.Account, n.UserID, n.OrderID, n.SHA256)
	task, opts := c.newTask(ctx, n.Account, ledger.Task{ID: id, Generation: 1})
	message, err := c.queue.message(ctx, task, opts...)
	n.Task = message
	return n, err
}

// uncutLimit bounds a change of the ledger and what follows it. A Redis that is away is noticed
// sooner.
const uncutLimit = 10 * time.Second

// uncut is the context of a change of the ledger and what follows it: the caller's end must not
// fall between the two.
func uncut(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), uncutLimit)
}

// fresh is the record of an upload that was just made, without asking for it.
func (c *Client) fresh(n ledger.NewUpload, o ledger.Opened) ledger.Upload {
	return ledger.Upload{
		ID: o.ID, Account: n.Account, OrderID: n.OrderID, UserID: n.UserID, Reference: n.Reference, State: ledger.Queued,
		SHA256: n.SHA256, Size: n.Size, MediaType: n.MediaType, Generation: o.Generation, StoreKey: n.StoreKey, CRC32C: n.CRC32C, Inline: n.StoreKey == "",
		CreatedAt: o.At, UpdatedAt: o.Since, Since: o.Since,
		ExpiresAt: ledger.Time{Time: o.Since.Add(c.ledger.Settings().MaxAge)},
	}
}

// settle does what follows Open: a voucher that was put is claimed or dropped, and the task put.
// What it cannot do the reconciler does later; an error says that the caller would wait for
// nothing. When Open was tried again, the voucher may have been delivered before Redis forgot it.
func (c *Client) settle(ctx context.Context, n ledger.NewUpload, o ledger.Opened) error {
	storeKey := n.StoreKey
	if o.Holds != "" && storeKey != "" {
		var err error
		if o, err = c.keepWhole(ctx, n, o); err != nil {
			return err
		}
	}
	if storeKey != "" && o.Drop != storeKey {
		if err := c.store.Claim(ctx, storeKey); err != nil && !c.delivered(ctx, storeKey) {
			return fmt.Errorf("claim the voucher: %w", err)
		}
	}
	if o.Drop != "" {
		if err := c.store.Delete(ctx, o.Drop); err != nil {
			return fmt.Errorf("delete a voucher that is not needed: %w", err)
		}
	}
	return c.put(ctx, ledger.Task{ID: o.ID, Generation: o.Generation}, 0)
}

// delivered says whether the blob store knows that a voucher was delivered. Then the worker that
// takes the task up finds that too.
func (c *Client) delivered(ctx context.Context, storeKey string) bool {
	n, err := c.store.Noted(ctx, storeKey)
	return (err == nil || errors.Is(err, blob.ErrDamaged)) && n.State == string(ledger.Delivered)
}

// keepWhole looks whether a duplicate's voucher is still there: a Redis that lost its last writes
// may have lost what was put before the record. Then the one just put takes its place.
func (c *Client) keepWhole(ctx context.Context, n ledger.NewUpload, o ledger.Opened) (ledger.Opened, error) {
	err := c.store.Claim(ctx, o.Holds)
	if !errors.Is(err, blob.ErrMissing) {
		return o, err
	}
	held, err := c.ledger.HoldInstead(ctx, ledger.Instead{ID: o.ID, Former: o.Holds, StoreKey: n.StoreKey, CRC32C: n.CRC32C, Lost: true})
	if held {
		o.Drop = ""
	}
	return o, err
}
