package tasks

import (
	"context"
	"slices"
	"strings"
	"time"
)

// PauseRequest is a person's wish to hold an account.
type PauseRequest struct {
	Account string
	Reason  string        // shown wherever the account is
	By      string        // who: a token's name, or user and host
	For     time.Duration // 0: until it is resumed
}

// maxPause is more than anybody means, and short of what milliseconds since 1970 have room for.
const maxPause = 366 * 24 * time.Hour

// Pause holds an account: its attempts under way end, and no other starts. Errors: *InvalidError,
// *UnknownAccountError.
func (c *Client) Pause(ctx context.Context, p PauseRequest) (AccountStatus, error) {
	switch {
	case strings.TrimSpace(p.Reason) == "":
		return AccountStatus{}, &InvalidError{Field: "reason", Reason: "is missing: say why the account is paused"}
	case !printable(p.Reason):
		return AccountStatus{}, &InvalidError{Field: "reason", Reason: "must have at most 200 printable characters"}
	case p.For < 0 || p.For > maxPause || p.For > 0 && p.For < time.Second:
		return AccountStatus{}, &InvalidError{Field: "for", Reason: "must be from 1s to 366d"}
	}
	return c.changeAccount(ctx, p.Account, func(ctx context.Context) error {
		return c.ledger.Pause(ctx, p.Account, p.Reason, p.By, p.For)
	})
}

// Resume ends a pause; what else holds the account goes on. It changes nothing when the account is
// not paused. The error may be an *UnknownAccountError.
func (c *Client) Resume(ctx context.Context, account string) (AccountStatus, error) {
	return c.changeAccount(ctx, account, func(ctx context.Context) error { return c.ledger.Resume(ctx, account) })
}

// changeAccount changes an account that the ledger knows, and tells how it stands then.
func (c *Client) changeAccount(ctx context.Context, account string, change func(context.Context) error) (AccountStatus, error) {
	names, err := c.ledger.Accounts(ctx)
	if err != nil {
		return AccountStatus{}, c.explain(err)
	}
	if slices.Sort(names); !slices.Contains(names, account) {
		return AccountStatus{}, &UnknownAccountError{Account: account, Known: names}
	}
	if err = change(ctx); err != nil {
		return AccountStatus{}, c.explain(err)
	}
	s, err := c.account(ctx, account)
	return s, c.explain(err)
}
