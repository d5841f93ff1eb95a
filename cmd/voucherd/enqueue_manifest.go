package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"path/filepath"
	"sync"
	"text/tabwriter"

	"github.com/voucherd/voucherd/internal/manifest"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// handsAtOnce is how many vouchers of a manifest are handed over at a time. Those of one order stay in their order.
const handsAtOnce = 8

// fate is what became of one line of a manifest.
type fate struct {
	Line  int          `json:"line"`
	Order string       `json:"orderId"`
	File  string       `json:"file"`
	Fate  string       `json:"fate"` // accepted, known, failed, untried
	ID    string       `json:"id,omitempty"`
	State ledger.State `json:"state,omitempty"`
	Error string       `json:"error,omitempty"`
}

// The fates.
const (
	fateAccepted = "accepted"
	fateKnown    = "known" // the same voucher was handed over before
	fateFailed   = "failed"
	fateUntried  = "untried"
)

// runManifest hands over every line of a manifest and reports each line's fate. Running it again is safe: a voucher
// that was handed over before is known.
func (c *enqueueCmd) runManifest(ctx context.Context, s *session) error {
	if c.File != "" || c.Order != "" || c.User != "" || c.Reference != "" || c.Wait {
		return usagef("--manifest takes no FILE, --order, --user, --reference or --wait: its lines say what to hand over")
	}
	lines, dir, err := readManifest(s, c.Manifest)
	if err != nil {
		return err
	}
	return s.withStore(ctx, func(ctx context.Context, st *store) error {
		fates := c.handOverAll(ctx, s, st, lines, dir)
		if err := c.report(s, fates); err != nil {
			return err
		}
		return c.outcome(ctx, s, fates)
	})
}

// readManifest reads the lines, and gives the directory that their files are relative to.
func readManifest(s *session, path string) (lines []manifest.Line, dir string, err error) {
	in := io.NopCloser(s.stdin)
	switch {
	case path != "-":
		if in, err = s.openVoucher(path); err != nil {
			return nil, "", err
		}
		dir = filepath.Dir(path)
	case isTerminal(s.stdin):
		return nil, "", usagef("standard input is a terminal: pipe the manifest in")
	}
	defer in.Close()
	if lines, err = manifest.Read(in); err != nil {
		return nil, "", fmt.Errorf("%s: nothing was handed over:\n%w", fileName(path), err)
	}
	return lines, dir, nil
}

// handOverAll hands the lines over, several at a time.
func (c *enqueueCmd) handOverAll(ctx context.Context, s *session, st *store, lines []manifest.Line, dir string) []fate {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	fates := make([]fate, len(lines))
	queues := make([][]int, handsAtOnce)
	for i, l := range lines {
		h := fnv.New32a()
		_, _ = io.WriteString(h, l.Order) // a hash takes everything
		q := h.Sum32() % handsAtOnce
		queues[q] = append(queues[q], i)
	}
	progress := newBar(s.stderr, len(lines))
	defer progress.close()
	var hands sync.WaitGroup
	for _, queue := range queues {
		hands.Go(func() {
			for _, i := range queue {
				fates[i] = c.handOne(ctx, st, lines[i], dir, stop)
				progress.add()
			}
		})
	}
	hands.Wait()
	return fates
}

// handOne hands one line over. When Redis or the vault is away the lines that follow are not tried: each would only
// wait for the same answer.
func (c *enqueueCmd) handOne(
	ctx context.Context, st *store, l manifest.Line, dir string, stop context.CancelCauseFunc,
) fate {
	f := fate{Line: l.Number, Order: l.Order, File: l.File, Fate: fateFailed}
	if ctx.Err() != nil {
		f.Fate = fateUntried
		return f
	}
	u, err := c.handOverLine(ctx, st, l, dir)
	var unreachable *tasks.UnreachableError
	switch {
	case err == nil && u.Duplicate:
		f.Fate, f.ID, f.State = fateKnown, u.ID, u.State
	case err == nil:
		f.Fate, f.ID, f.State = fateAccepted, u.ID, u.State
	case ctx.Err() != nil:
		f.Fate = fateUntried
	default:
		f.Error = err.Error()
		if errors.As(err, &unreachable) || errors.Is(err, tasks.ErrNoRoom) {
			stop(err)
		}
	}
	return f
}

func (c *enqueueCmd) handOverLine(ctx context.Context, st *store, l manifest.Line, dir string) (ledger.Upload, error) {
	path, lane := l.File, l.Lane
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if lane == "" {
		lane = c.Lane
	}
	voucher, err := openFile(path)
	if err != nil {
		return ledger.Upload{}, err
	}
	defer voucher.Close()
	u, err := st.tasks.Enqueue(ctx, tasks.Request{
		Lane: lane, OrderID: l.Order, UserID: l.User, Reference: l.Reference, Voucher: voucher,
		Again: c.Again, Replace: c.Replace,
	})
	return u, explainVoucher(l.File, err)
}

// report prints each line's fate.
func (c *enqueueCmd) report(s *session, fates []fate) error {
	if c.JSON {
		for _, f := range fates {
			if err := printJSON(s.stdout, f); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LINE\tORDER\tFILE\tFATE\tUPLOAD")
	for _, f := range fates {
		words := f.Fate
		switch f.Fate {
		case fateKnown:
			words = fmt.Sprintf("known already (%s)", f.State)
		case fateFailed:
			words = "failed: " + f.Error
		case fateUntried:
			words = "not tried"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", f.Line, f.Order, f.File, words, dash(f.ID))
	}
	return t.Flush() //nolint:wrapcheck // the terminal's own error says enough
}

// outcome sums up, and says what to do about what was not handed over.
func (c *enqueueCmd) outcome(ctx context.Context, s *session, fates []fate) error {
	n := map[string]int{}
	for _, f := range fates {
		n[f.Fate]++
	}
	fmt.Fprintf(s.stderr, "%d accepted, %d known already, %d failed, %d not tried.\n",
		n[fateAccepted], n[fateKnown], n[fateFailed], n[fateUntried])
	if n[fateFailed]+n[fateUntried] == 0 {
		return nil
	}
	fmt.Fprintln(s.stderr, "Run it again for the rest: what was handed over is known, and nothing is sent twice.")
	if ctx.Err() != nil {
		return silent(exitInterrupted)
	}
	return silent(exitFailed)
}
