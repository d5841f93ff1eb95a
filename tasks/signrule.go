package tasks

import (
	"context"

	"github.com/voucherd/voucherd/ledger"
)

// NoteSignRule keeps a rule that a gateway has learnt; see ledger.Ledger.NoteSignRule.
func (c *Client) NoteSignRule(ctx context.Context, account string, rule ledger.SignRule, seen ledger.Time) error {
	return c.explain(c.ledger.NoteSignRule(ctx, account, rule, seen))
}

// SignRule gives the rule that gateways noted last; see ledger.Ledger.SignRule.
func (c *Client) SignRule(ctx context.Context, account string) (ledger.SignRule, ledger.Time, error) {
	rule, seen, err := c.ledger.SignRule(ctx, account)
	return rule, seen, c.explain(err)
}
