package tasks

import (
	"context"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// Get reads an upload with its attempts. The error is ledger.ErrNotFound when there is none.
func (c *Client) Get(ctx context.Context, id string) (ledger.Upload, error) {
	u, err := c.ledger.Get(ctx, id)
	return u, c.explain(err)
}

// Find gives the uploads that an upload id, an order id or a request id names, newest first, with
// their attempts. The error is ledger.ErrNotFound when there is none.
func (c *Client) Find(ctx context.Context, key string) ([]ledger.Upload, error) {
	us, err := c.ledger.Find(ctx, key)
	return us, c.explain(err)
}

// Search gives what Find gives for a text, and uploads that have it as their reference, or as the
// beginning or end of their order id; see ledger.Ledger.Search.
func (c *Client) Search(ctx context.Context, text string) ([]ledger.Upload, error) {
	us, err := c.ledger.Search(ctx, text)
	return us, c.explain(err)
}

// List lists uploads, newest first, without their attempts.
func (c *Client) List(ctx context.Context, q ledger.Query) (ledger.Page, error) {
	p, err := c.ledger.List(ctx, q)
	return p, c.explain(err)
}

// Count counts the uploads that a query lists, by state; see ledger.Ledger.Count.
func (c *Client) Count(ctx context.Context, q ledger.Query) (map[ledger.State]int64, error) {
	counts, err := c.ledger.Count(ctx, q)
	return counts, c.explain(err)
}

// Finished gives what came to a final state after a time, oldest first; see ledger.Ledger.Finished.
// Package events makes events of it.
func (c *Client) Finished(ctx context.Context, account string, after ledger.Time, limit int) (ledger.Finished, error) {
	f, err := c.ledger.Finished(ctx, account, after, limit)
	return f, c.explain(err)
}

// waitEvery is how often Wait asks; a person watching does not notice more.
const waitEvery = 250 * time.Millisecond

// Wait returns an upload once it is final, or with the context's error as it was last seen, which
// may be its id alone. Redis being away for a while does not end it. One that Enqueue gave as Spooled is
// not recorded at first: see WaitSpooled.
func (c *Client) Wait(ctx context.Context, id string) (ledger.Upload, error) {
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	last := ledger.Upload{ID: id}
	for {
		u, err := c.Get(ctx, id)
		switch {
		case err == nil && u.State.Final():
			return u, nil
		case err == nil:
			last = u
		case !isUnreachable(err):
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
	}
}
