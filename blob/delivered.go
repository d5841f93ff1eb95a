package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/voucherd/voucherd/internal/accountname"
)

const (
	hourFormat = "2006010215" // UTC; notes of one hour share files, so that they can be forgotten together
	// notesAtOnce is how much of a file of notes is read at once.
	notesAtOnce = 64 << 10 // bytes
)

func deliveredDir(account string) string { return account + "/" + delivered }

// eachRetired calls do with what is noted of an account's retired vouchers, the last of a file first
// and the newest hour first, until it says no more. Only lines that contain text are looked at. What
// a crash cut off is no note.
func eachRetired(ctx context.Context, root *os.Root, account, text string, do func(record) (more bool)) error {
	files, err := retiredFiles(root, account)
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(files) {
		more := true
		err := linesBackward(ctx, root, deliveredDir(account)+"/"+name, func(line []byte) (bool, error) {
			if !bytes.Contains(line, []byte(text)) {
				return true, nil
			}
			r, err := parseRecord(line)
			if errors.Is(err, ErrDamaged) {
				return true, nil
			}
			more = err == nil && do(r)
			return more, err
		})
		if err = unlessGone(err); err != nil || !more {
			return err
		}
	}
	return nil
}

// retiredFiles names an account's files of notes, the oldest hour first.
func retiredFiles(root *os.Root, account string) ([]string, error) {
	entries, err := readDir(root, deliveredDir(account))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, unlessGone(err)
}

// linesBackward calls do with each line of a file that is not empty, the last one first, until it
// says no more.
func linesBackward(ctx context.Context, root *os.Root, name string, do func(line []byte) (more bool, err error)) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var rest []byte // the end of a line whose beginning is not read yet
	for at := info.Size(); at > 0; {
		if err = ctx.Err(); err != nil {
			return err
		}
		var text []byte
		from := max(0, at-notesAtOnce)
		if text, err = readFrom(f, from, at); err != nil {
			return err
		}
		text, at = append(text, rest...), from
		for i := bytes.LastIndexByte(text, '\n'); i >= 0; i = bytes.LastIndexByte(text, '\n') {
			line := text[i+1:]
			text = text[:i]
			if len(line) == 0 {
				continue
			}
			if more, lineErr := do(line); lineErr != nil || !more {
				return lineErr
			}
		}
		if rest = text; len(rest) > mostMetadata { // whatever that is, it is no note
			rest = nil
		}
	}
	if len(rest) > 0 {
		_, err = do(rest)
	}
	return err
}

// ForgetRetired implements Store. It removes an hour's notes together.
func (d *Dir) ForgetRetired(ctx context.Context, account string, olderThan time.Duration) error {
	if !accountname.Valid(account) {
		return nil
	}
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	files, err := retiredFiles(root, account)
	for _, name := range files {
		from, parseErr := time.Parse(hourFormat, name[:min(len(name), len(hourFormat))])
		if parseErr != nil || time.Since(from.Add(time.Hour)) < olderThan {
			continue
		}
		if err == nil {
			err = unlessGone(root.Remove(deliveredDir(account) + "/" + name))
		}
	}
	if err != nil {
		return fmt.Errorf("forget what was delivered from the blob store: %w", err)
	}
	return nil
}
