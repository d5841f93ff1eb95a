package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/manifest"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// lineResult is what became of one line of a manifest.
type lineResult struct {
	Line   int          `json:"line"`
	Order  string       `json:"orderId"`
	File   string       `json:"file"`
	Result string       `json:"result"` // accepted, known, failed, untried
	ID     string       `json:"id,omitempty"`
	State  ledger.State `json:"state,omitempty"`
	Error  string       `json:"error,omitempty"`

	Spooled bool `json:"spooled,omitempty"` // it waits in the spool for Redis
}

// The results.
const (
	resultAccepted = "accepted"
	resultKnown    = "known" // the same voucher was enqueued before
	resultFailed   = "failed"
	resultUntried  = "untried"
)

// runManifest enqueues every line of a manifest and reports each line's result. Running it again is
// safe: a voucher that was enqueued before is known.
func (c *enqueueCmd) runManifest(ctx context.Context, s *session) error {
	if c.File != "" || c.Order != "" || c.User != "" || c.Reference != "" || c.Wait {
		return usagef("--manifest takes no FILE, --order, --user, --reference or --wait: its lines say what to enqueue")
	}
	lines, dir, err := readManifest(ctx, s, c.Manifest)
	if err != nil {
		return err
	}
	return s.withPatientStore(ctx, func(ctx context.Context, st *app.Store) error {
		if err := c.checkManifest(ctx, s, st, lines); err != nil {
			return err
		}
		file, err := openResults(c.Result, "line", "order", "file", "result", "id", "error")
		if err != nil {
			return err
		}
		results := c.enqueueAll(ctx, s, st, lines, dir)
		for _, f := range results {
			err = errors.Join(err, file.write(strconv.Itoa(f.Line), f.Order, f.File, f.Result, f.ID, f.Error))
		}
		if err = errors.Join(err, file.close(), c.report(s, results)); err != nil {
			return err
		}
		return c.outcome(ctx, s, results)
	})
}

// readManifest reads the lines, and gives the directory that their files are relative to.
func readManifest(ctx context.Context, s *session, path string) (lines []manifest.Line, dir string, err error) {
	in, err := s.openVoucher(ctx, path)
	if err != nil {
		return nil, "", err
	}
	defer in.Close()
	if lines, err = manifest.Read(in); errors.Is(err, context.Canceled) {
		return nil, "", fmt.Errorf("%w: %w", tasks.ErrNotEnqueued, err)
	} else if err != nil {
		return nil, "", fmt.Errorf("%s: nothing was enqueued:\n%w", fileName(path), err)
	}
	if path != "-" {
		dir = filepath.Dir(path)
	}
	return lines, dir, nil
}

// enqueueAll hands the lines over, several at a time. When Redis or the blob store is away for
// longer than one waits, the lines that follow are not tried: each would only wait for the same
// answer.
func (c *enqueueCmd) enqueueAll(ctx context.Context, s *session, st *app.Store, lines []manifest.Line, dir string) []lineResult {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	who := s.who(c.Reason)
	files, requests := make([]*lateFile, len(lines)), make([]tasks.Request, len(lines))
	for i, l := range lines {
		files[i] = &lateFile{path: l.File}
		if !filepath.IsAbs(l.File) {
			files[i].path = filepath.Join(dir, l.File)
		}
		requests[i] = tasks.Request{
			Account: cmp.Or(l.Account, c.Account), OrderID: l.Order, UserID: l.User, Reference: l.Reference, Voucher: files[i],
			Again: c.Again, Replace: c.Replace, Who: who,
		}
	}
	results := make([]lineResult, len(lines))
	progress := newBar(s.stderr, len(lines))
	defer progress.close()
	st.Tasks.EnqueueAll(ctx, requests, func(i int, r tasks.Result) {
		if err := files[i].close(); err != nil {
			r.Err = err // Enqueue only says that it could not read
		}
		results[i] = resultOf(lines[i], r)
		_, unreachable := errors.AsType[*tasks.UnreachableError](r.Err)
		_, behind := errors.AsType[*ledger.ReplicasError](r.Err)
		if unreachable || behind || errors.Is(r.Err, tasks.ErrNoRoom) {
			stop(r.Err)
		}
		progress.add()
	})
	return results
}

// resultOf says what became of one line.
func resultOf(l manifest.Line, r tasks.Result) lineResult {
	f := lineResult{Line: l.Number, Order: l.Order, File: l.File, ID: r.Upload.ID, State: r.Upload.State}
	switch {
	case r.Err == nil && r.Upload.Duplicate:
		f.Result = resultKnown
	case r.Err == nil:
		f.Result, f.Spooled = resultAccepted, r.Upload.Spooled
	case errors.Is(r.Err, tasks.ErrNotEnqueued):
		f.Result = resultUntried
	default:
		f.Result, f.Error = resultFailed, explainVoucher(l.File, r.Err).Error()
	}
	return f
}

// lateFile is a file that is opened when it is first read: a manifest may name more than may be
// open at a time.
type lateFile struct {
	path string
	file io.ReadCloser
	err  error // why it could not be opened
}

func (l *lateFile) Read(p []byte) (int, error) {
	if l.file == nil && l.err == nil {
		l.file, l.err = openFile(l.path)
	}
	if l.err != nil {
		return 0, l.err
	}
	return l.file.Read(p)
}

// Seek goes to a place in the file, so that it can be read again.
func (l *lateFile) Seek(offset int64, whence int) (int64, error) {
	seeker, ok := l.file.(io.Seeker)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return seeker.Seek(offset, whence)
}

// close gives the error of opening, if there was one.
func (l *lateFile) close() error {
	if l.file != nil {
		_ = l.file.Close() // only read
	}
	return l.err
}

// report prints each line's result.
func (c *enqueueCmd) report(s *session, results []lineResult) error {
	if c.JSON {
		for _, f := range results {
			if err := printJSON(s.stdout, f); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LINE\tORDER\tFILE\tRESULT\tUPLOAD")
	for _, f := range results {
		words := f.Result
		switch f.Result {
		case resultKnown:
			words = fmt.Sprintf("known already (%s)", f.State)
		case resultFailed:
			words = "failed: " + f.Error
		case resultUntried:
			words = "not tried"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", f.Line, f.Order, f.File, words, dash(f.ID))
	}
	return t.Flush()
}

// outcome sums up, and says what to do about what was not enqueued.
func (c *enqueueCmd) outcome(ctx context.Context, s *session, results []lineResult) error {
	n, spooled := map[string]int{}, 0
	for _, f := range results {
		n[f.Result]++
		if f.Spooled {
			spooled++
		}
	}
	fmt.Fprintf(s.stderr, "%d accepted, %d known already, %d failed, %d not tried.\n",
		n[resultAccepted], n[resultKnown], n[resultFailed], n[resultUntried])
	if spooled > 0 {
		fmt.Fprintf(s.stderr, "Redis is away: %d of them wait in the spool; a gateway or worker with the same spool enqueues them.\n", spooled)
	}
	rest := n[resultFailed] + n[resultUntried]
	switch {
	case rest > 0 && c.Again:
		fmt.Fprintln(s.stderr, "Run it again for the lines that failed or were not tried alone: --again sends the others once more.")
	case rest > 0:
		fmt.Fprintln(s.stderr, "Run it again for the rest: what was enqueued is known, and nothing is sent twice.")
	}
	switch {
	case ctx.Err() != nil:
		return silent(exitInterrupted)
	case rest > 0:
		return silent(exitFailed)
	}
	return nil
}
