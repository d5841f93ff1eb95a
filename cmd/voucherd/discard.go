package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

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
	may := func(state ledger.State) bool {
		return state != ledger.Sending && state != ledger.Discarded && state != ledger.Delivered
	}
	if c.State != "" && !may(ledger.State(c.State)) {
		return usagef("--state: %s uploads cannot be discarded", c.State)
	}
	return s.withStore(ctx, func(ctx context.Context, st *store) error {
		ids, err := c.find(ctx, st, may)
		if err != nil {
			return err
		}
		if len(ids) > 0 && !c.Yes {
			question := fmt.Sprintf("Discard %s? They are not sent any more, and their vouchers are deleted. [y/N] ",
				plural(len(ids), "upload", "uploads"))
			if sure, err := s.ask(ctx, question); err != nil || !sure {
				return err
			}
		}
		return c.each(ctx, s, ids, deed{
			done: "discarded", only: "uploads that are not sent or being sent can be discarded", do: st.tasks.Discard,
		})
	})
}

// ask puts a question to whoever sits at standard input. Without an answer nothing shall be done, and the exit code
// says so.
func (s *session) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(s.stderr, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(s.stdin).ReadString('\n') //nolint:errcheck // the end of the input is no yes
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
