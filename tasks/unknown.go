package tasks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
