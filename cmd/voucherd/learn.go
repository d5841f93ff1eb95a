package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/learn"
)

// maxLearn bounds a file to learn from: a HAR holds the vouchers that were sent.
const maxLearn = 256 << 20

// learn prints, as settings, the rule that signed a request.
func (c *signCmd) learn(ctx context.Context, s *session, cfg config.Config, account config.Account) error {
	requests, err := c.readRequests(ctx, s, cfg, account)
	if err != nil {
		return err
	}
	rule, request, err := findRule(ctx, requests, account)
	if none, ok := errors.AsType[*learn.NoRuleError](err); ok {
		fmt.Fprintf(s.stderr, "voucherd: %s: %v\n", c.Learn, none)
		fmt.Fprintf(s.stderr, "Is the secret the one of account %s, and was the request accepted? After a reset PandaPon knows the new secret only.\n", account.Name)
		return silent(exitNotFound)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Learn, err)
	}
	fmt.Fprintf(s.stdout, "PANDAPON_SIGN_PARTS=%s\nPANDAPON_TIMESTAMP_UNIT=%s\n", quoteValue(rule.Text()), rule.Unit)
	if rule.Text() == cfg.Rule.Text() && rule.Unit == cfg.Rule.Unit {
		fmt.Fprintln(s.stderr, "This is what the settings say already.")
	} else {
		fmt.Fprintln(s.stderr, "The settings say otherwise: set these for workers and gateways, and restart them.")
	}
	if request.Nonce == "" {
		fmt.Fprintln(s.stderr, "The request has no nonce-str, so it cannot tell whether one is signed, and where: learn from one that has it.")
	}
	return nil
}

// readRequests gives the requests of the file that have the account's access key.
func (c *signCmd) readRequests(ctx context.Context, s *session, cfg config.Config, account config.Account) ([]learn.Request, error) {
	in, err := s.openVoucher(ctx, c.Learn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(in, maxLearn+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxLearn {
		return nil, fmt.Errorf("%s is larger than %d MiB: leave in it no more than one request", c.Learn, maxLearn>>20)
	}
	all, err := learn.Read(b, account.UploadPath)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Learn, err)
	}
	own := slices.DeleteFunc(slices.Clone(all), func(r learn.Request) bool { return r.AccessKey != account.Credentials.AccessKey })
	if len(own) > 0 {
		return own, nil
	}
	for _, other := range cfg.Accounts {
		if other.Credentials.AccessKey == all[0].AccessKey {
			return nil, usagef("%s: the request is one of account %s: say --account %[2]s", c.Learn, other.Name)
		}
	}
	return nil, fmt.Errorf("%s: the access-key of the request is not that of account %s", c.Learn, account.Name)
}

// findRule gives the rule of the first request that tells one. The error is about the first of all.
func findRule(ctx context.Context, requests []learn.Request, account config.Account) (pandapon.SignRule, learn.Request, error) {
	var first error
	for _, r := range requests {
		if ctx.Err() != nil {
			return pandapon.SignRule{}, learn.Request{}, ctx.Err()
		}
		rule, err := learn.Find(r, account.Credentials.Secret)
		if err == nil {
			return rule, r, nil
		}
		if first == nil {
			first = err
		}
	}
	return pandapon.SignRule{}, learn.Request{}, first
}

// quoteValue makes a variable's value fit for an environment file and a shell.
func quoteValue(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz,-") == "" {
		return s
	}
	return quote(s)
}
