package worker

import (
	"context"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
)

// caller makes one account's signed calls, and learns from the answers how far the API's clock is
// off.
type caller struct {
	account string
	creds   pandapon.Credentials
	api     *pandapon.Client
	skew    skew
	ledger  *ledger.Ledger
	log     *zap.Logger
	limit   time.Duration // of one call to the ledger
}

// upload makes the call, signed now.
func (c *caller) upload(ctx context.Context, run ledger.Running, voucher io.Reader) (pandapon.Receipt, error) {
	creds := c.creds
	if run.UserID != "" {
		creds.UserID = run.UserID
	}
	return c.api.Upload(ctx, pandapon.Upload{
		Credentials: creds, Nonce: run.Nonce, OrderID: run.OrderID, Voucher: voucher, Size: run.Size,
		Skew: c.skew.correction(),
	})
}

// observe takes in what an answer said of the API's clock, and notes a change where doctor and
// accounts show it.
func (c *caller) observe(ctx context.Context, s clockSample) {
	now, news := c.skew.observe(s, c.log)
	if !news {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.limit)
	defer cancel()
	if err := c.ledger.NoteSkew(ctx, c.account, now); err != nil {
		c.log.Warn("ledger.unreachable", zap.Error(err))
	}
}
