package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

type enqueueCmd struct {
	File      string `arg:"" optional:"" help:"The picture or PDF; - is standard input."`
	Order     string `help:"PandaPon's id of the order." placeholder:"ID"`
	User      string `help:"Sub-account, when it is not the account's own." placeholder:"ID"`
	Account   string `help:"Account that it goes to." default:"default" placeholder:"NAME"`
	Reference string `help:"Your own name for it: shown, never sent." placeholder:"TEXT"`
	Again     bool   `help:"Send it again although the same voucher has ended already, delivered or not."`
	Replace   bool   `help:"Discard vouchers of the same order that wait in line and were never sent."`
	Reason    string `help:"Why, with --again or --replace; kept in the records, with your name." placeholder:"TEXT"`
	Force     bool   `help:"Enqueue also for an account that no accounts file names and no worker ever had."`
	Wait      bool   `help:"Wait until it is delivered, or ended otherwise (exit code 4)."`
	JSON      bool   `help:"Print JSON." name:"json"`
	Manifest  string `help:"Enqueue every line of this CSV file, whose first line is order,file[,user][,account][,reference]. Files are relative to it; - is standard input. Safe to run again, but with --again." placeholder:"FILE.csv"`
	Result    string `help:"Write what became of each line of a manifest to this file, as CSV: line, order, file, result, id, error." placeholder:"FILE.csv"`

	kong.Plugins
}

// Run enqueues one voucher, or those of a manifest.
func (c *enqueueCmd) Run(ctx context.Context, s *session) error {
	switch {
	case c.Manifest != "":
		return c.runManifest(ctx, s)
	case c.Result != "":
		return usagef("--result goes with --manifest")
	case c.File == "":
		return usagef("name the file to enqueue, or - for standard input (see voucherd enqueue --help)")
	case c.Order == "":
		return usagef("name the order: --order ID")
	}
	return s.withPatientStore(ctx, func(ctx context.Context, st *app.Store) error {
		if err := c.checkAccount(ctx, s, st, c.Account); err != nil {
			return err
		}
		u, err := c.enqueueOne(ctx, s, st)
		if err != nil {
			return err
		}
		if !c.Wait {
			return c.print(ctx, s, u)
		}
		return c.wait(ctx, s, st, u)
	})
}

// enqueueOne enqueues the one voucher.
func (c *enqueueCmd) enqueueOne(ctx context.Context, s *session, st *app.Store) (ledger.Upload, error) {
	voucher, err := s.openVoucher(ctx, c.File)
	if err != nil {
		return ledger.Upload{}, err
	}
	defer voucher.Close()
	u, err := st.Tasks.Enqueue(ctx, tasks.Request{
		Account: c.Account, OrderID: c.Order, UserID: c.User, Reference: c.Reference, Voucher: voucher,
		Again: c.Again, Replace: c.Replace, Who: s.who(c.Reason),
	})
	return u, explainVoucher(c.File, err)
}

// explainVoucher names the file in a complaint about it.
func explainVoucher(path string, err error) error {
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) && invalid.Field == "voucher" {
		return fmt.Errorf("%s %s%w", fileName(path), invalid.Reason, hidden{err})
	}
	return err
}

func fileName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// hidden keeps an error for errors.As without repeating its text.
type hidden struct{ error }

func (hidden) Error() string { return "" }

func (h hidden) Unwrap() error { return h.error }

// print prints what was recorded, also when the command was told to stop meanwhile.
func (c *enqueueCmd) print(ctx context.Context, s *session, u ledger.Upload) error {
	if c.JSON {
		if err := printJSON(s.stdout, u); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(s.stdout, u.ID)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(s.stderr, "Stopped. The upload goes on in the background; look with: voucherd show %s\n", u.ID)
		return silent(exitInterrupted)
	case u.Spooled:
		fmt.Fprintln(s.stderr, spooledWords)
	case c.JSON:
	case u.Duplicate:
		fmt.Fprintf(s.stderr, "The same voucher for this order was enqueued before; it is %s.\n", stateWords(u))
	case u.Generation == 0:
		fmt.Fprintln(s.stderr, "Another voucher of this order comes first; this one is next in line.")
	}
	return nil
}

const spooledWords = "Redis is away. The voucher waits in the spool; a gateway or worker with the same spool enqueues it."

// wait waits for the end of an upload and says how it ended. The id comes first, so that whoever
// stops waiting has it.
func (c *enqueueCmd) wait(ctx context.Context, s *session, st *app.Store, u ledger.Upload) error {
	if !c.JSON {
		fmt.Fprintln(s.stdout, u.ID)
		if u.Spooled {
			fmt.Fprintln(s.stderr, spooledWords)
		}
		if isTerminal(s.stderr) {
			fmt.Fprintln(s.stderr, "Waiting until it is delivered; Ctrl-C leaves that to the background.")
		}
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	if !c.JSON {
		watch.Go(func() { sayObstacles(watching, s, st, u.Account) })
	}
	last, err := waitForEnd(ctx, st.Tasks, u)
	stop()
	watch.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if last.ID == "" {
		last = u // stopped before the first look
	}
	last.Duplicate = u.Duplicate
	if c.JSON {
		if broken := printJSON(s.stdout, last); broken != nil {
			return broken
		}
	}
	switch {
	case err != nil:
		fmt.Fprintf(s.stderr, "No longer waiting. The upload goes on in the background; look with: voucherd show %s\n", u.ID)
		return silent(exitInterrupted)
	case !c.JSON:
		fmt.Fprintln(s.stderr, upperFirst(stateWords(last))+".")
	}
	if last.State != ledger.Delivered {
		return silent(exitUndelivered)
	}
	return nil
}

// waitForEnd waits for the end of an upload. One in the spool is not recorded before Redis is back; a
// record that is there before is of an earlier time.
func waitForEnd(ctx context.Context, client *tasks.Client, u ledger.Upload) (ledger.Upload, error) {
	if err := client.WaitSpooled(ctx, u); err != nil {
		return u, err
	}
	return client.Wait(ctx, u.ID)
}

// printJSON prints one object as a line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
