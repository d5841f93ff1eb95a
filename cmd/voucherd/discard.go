package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

type discardCmd struct {
	selection

	Yes bool `help:"Do not ask."`

	kong.Plugins
}

// Run gives up on uploads, after asking.
func (c *discardCmd) Run(ctx context.Context, s *session) error {
	if err := c.check(); err != nil {
		return err
	}
	const action = tasks.ActionDiscard
	if c.State != "" && !action.Allowed(ledger.State(c.State)) {
		return usagef("--state: %s uploads cannot be discarded; %s", c.State, action.Requirement())
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		ids, err := c.find(ctx, st, action)
		if err != nil {
			return err
		}
		if c.DryRun {
			return c.dry(s, ids, "discarded")
		}
		if len(ids) > 0 && !c.Yes {
			question := fmt.Sprintf("Discard %s? Nothing more is sent, and the vouchers are deleted. [y/N] ",
				plural(len(ids), "upload", "uploads"))
			if sure, err := s.ask(ctx, question); err != nil || !sure {
				return err
			}
		}
		return c.each(ctx, s, st, tasks.Bulk{Action: action, IDs: ids}, "discarded")
	})
}

// ask puts a question to whoever sits at standard input. Without an answer nothing shall be done,
// and the exit code says so.
func (s *session) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(s.stderr, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(s.stdin).ReadString('\n') // the end of the input is no yes
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return true, nil
		}
	case <-ctx.Done():
	}
	fmt.Fprintln(s.stderr, "\nNothing was discarded (--yes does not ask).")
	if ctx.Err() != nil {
		return false, silent(exitInterrupted)
	}
	return false, silent(exitFailed)
}
