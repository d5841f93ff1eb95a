package tasks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrUnknownAccount means that there is no such account; an *UnknownAccountError says which there
// are.
var ErrUnknownAccount = errors.New("there is no such account")

// UnknownAccountError names the accounts that there are instead.
type UnknownAccountError struct {
	Account string
	Known   []string
}

func (e *UnknownAccountError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("there is no account %.40q, nor any other", e.Account)
	}
	return fmt.Sprintf("there is no account %.40q; there are %s", e.Account, strings.Join(e.Known, ", "))
}

func (e *UnknownAccountError) Unwrap() error { return ErrUnknownAccount }

// CheckAccount refuses an account that neither the settings know nor a worker ever had, with an
// *UnknownAccountError. When there is no setting and never was a worker, nobody knows, and nothing
// is refused.
func (c *Client) CheckAccount(ctx context.Context, account string, settings []string) error {
	if slices.Contains(settings, account) {
		return nil
	}
	all, err := c.Accounts(ctx)
	if err != nil {
		return err
	}
	known := slices.Clone(settings)
	for _, a := range all {
		if a.Attended() {
			known = append(known, a.Account)
		}
	}
	if len(known) == 0 || slices.Contains(known, account) {
		return nil
	}
	slices.Sort(known)
	return &UnknownAccountError{Account: account, Known: slices.Compact(known)}
}

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
	return c.holdOrNot(ctx, p.Account, func(ctx context.Context) error {
		return c.ledger.Pause(ctx, p.Account, p.Reason, p.By, p.For)
	})
}

// Resume ends a pause; what else holds the account goes on. It changes nothing when the account is
// not paused. The error may be an *UnknownAccountError.
func (c *Client) Resume(ctx context.Context, account string) (AccountStatus, error) {
	return c.holdOrNot(ctx, account, func(ctx context.Context) error { return c.ledger.Resume(ctx, account) })
}

// holdOrNot changes an account that the ledger knows, and tells how it stands then.
func (c *Client) holdOrNot(ctx context.Context, account string, change func(context.Context) error) (AccountStatus, error) {
	names, err := c.ledger.Accounts(ctx)
	if err != nil {
		return AccountStatus{}, c.explain(err)
	}
	if slices.Sort(names); !slices.Contains(names, account) {
		return AccountStatus{}, &UnknownAccountError{Account: account, Known: names}
	}
	if err := change(ctx); err != nil {
		return AccountStatus{}, c.explain(err)
	}
	s, err := c.account(ctx, account)
	return s, c.explain(err)
}
