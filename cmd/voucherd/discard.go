package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
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
	d := deed{
		done: "discarded", only: "uploads that were not delivered and are not being sent can be discarded",
		may: func(state ledger.State) bool { return state != ledger.Delivered },
	}
	switch state := ledger.State(c.State); state {
	case ledger.Delivered, ledger.Sending, ledger.Discarded:
		return usagef("--state: %s uploads cannot be discarded; %s", state, d.only)
	case ledger.Queued, ledger.Waiting, ledger.Rejected, ledger.Expired:
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		d.do = st.Tasks.Discard
		ids, err := c.find(ctx, st, d)
		if err != nil {
			return err
		}
		if len(ids) > 0 && !c.Yes {
			question := fmt.Sprintf("Discard %s? Nothing more is sent, and the vouchers are deleted. [y/N] ",
				plural(len(ids), "upload", "uploads"))
			if sure, err := s.ask(ctx, question); err != nil || !sure {
				return err
			}
		}
		return c.each(ctx, s, ids, d)
	})
}

// ask puts a question to whoever sits at standard input. Without an answer nothing shall be done, and the exit code
// says so.
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
