package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/manifest"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// checkAccount refuses an account that nobody would deliver for, unless --force is given, and warns
// of one for which no worker is running.
func (c *enqueueCmd) checkAccount(ctx context.Context, s *session, st *app.Store, account string) error {
	err := st.Tasks.Patiently(ctx, func() error { return c.checkAccountNow(ctx, s, st, account) })
	if err != nil && st.Tasks.Spools() && unreachable(err) {
		return nil // nobody can tell
	}
	return err
}

func (c *enqueueCmd) checkAccountNow(ctx context.Context, s *session, st *app.Store, account string) error {
	if !ledger.ValidAccount(account) {
		return nil // Enqueue says what is wrong with it
	}
	names, err := config.AccountNames(s.getenv)
	if err != nil {
		return err
	}
	err = st.Tasks.CheckAccount(ctx, account, names)
	if _, unknown := errors.AsType[*tasks.UnknownAccountError](err); unknown && !c.Force {
		return usagef("%w, so nobody would deliver it; nothing was enqueued (--force enqueues anyway)", err)
	} else if err != nil && !unknown {
		return err
	}
	standing, err := st.Tasks.Standing(ctx, account)
	if err != nil {
		return err
	}
	if standing.LiveWorkers() == 0 {
		fmt.Fprintf(s.stderr, "Warning: no worker of account %s is running; its uploads wait until one is.\n", account)
	}
	return nil
}

// checkManifest checks the accounts of all lines before any is enqueued.
func (c *enqueueCmd) checkManifest(ctx context.Context, s *session, st *app.Store, lines []manifest.Line) error {
	checked := map[string]bool{}
	for _, l := range lines {
		account := cmp.Or(l.Account, c.Account)
		if checked[account] {
			continue
		}
		if err := c.checkAccount(ctx, s, st, account); err != nil {
			return err
		}
		checked[account] = true
	}
	return nil
}

// obstaclesEvery is how often it is asked what an upload waits for.
const obstaclesEvery = 2 * time.Second

// sayObstacles says what the account's uploads wait for, and again when that changes, until the
// context ends.
func sayObstacles(ctx context.Context, s *session, st *app.Store, account string) {
	tick := time.NewTicker(obstaclesEvery)
	defer tick.Stop()
	for said := ""; ; {
		if standing, err := st.Tasks.Standing(ctx, account); err == nil {
			now := fmt.Sprint(standing.Obstacles(), standing.Since)
			if waits := standing.WaitsFor(localTime); waits != "" && now != said {
				fmt.Fprintf(s.stderr, "Waiting: %s.\n", waits)
			}
			said = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
