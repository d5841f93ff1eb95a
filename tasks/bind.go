package tasks

import (
	"context"
	"fmt"

	"github.com/voucherd/voucherd/ledger"
)

// Bind notes that an account's vouchers lie in this client's blob store, and makes the account's
// queue known to asynq, so that asynqmon shows it before its first task. A Redis that lost both
// needs it again. The error is ledger.ErrOtherStore when the account's vouchers lie elsewhere: a
// store that the workers do not have would swallow vouchers.
func (c *Client) Bind(ctx context.Context, account string) error {
	if err := c.bind(ctx, account); err != nil {
		return c.explain(err)
	}
	return c.explain(c.cfg.Redis.SAdd(ctx, "asynq:queues", ledger.Queue(account)).Err())
}

// bindOnce does so for the first voucher of an account; asynq's client makes the queue known with
// its first task.
func (c *Client) bindOnce(ctx context.Context, account string) error {
	if _, ok := c.bound.Load(account); ok {
		return nil
	}
	return c.bind(ctx, account)
}

func (c *Client) bind(ctx context.Context, account string) error {
	identity, err := c.store.Identity(ctx)
	if err != nil {
		return fmt.Errorf("ask which blob store this is: %w", err)
	}
	if err := c.ledger.BindStore(ctx, account, identity); err != nil {
		return err
	}
	c.bound.Store(account, true)
	return nil
}
