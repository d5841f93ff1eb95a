package blob

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/voucherd/voucherd/internal/crashpoint"
)

// delivered is the state of a note about a voucher that has been delivered.
const delivered = "delivered"

// Note is what a blob store that outlives the ledger keeps beside a voucher of what came of its
// upload.
type Note struct {
	State  string          `json:"state,omitempty"`  // of the upload; empty: it is to be delivered
	Result json.RawMessage `json:"result,omitempty"` // of a delivered one, as the caller wrote it
}

// Retired is a voucher that has been delivered, and what came of it.
type Retired struct {
	Key    string
	Result json.RawMessage
}

// Note implements Store.
func (d *Dir) Note(ctx context.Context, key string, n Note) error {
	p, err := placeOf(key)
	if err != nil {
		return err
	}
	f, err := d.openVoucher(ctx, p, os.O_RDWR|os.O_APPEND)
	if err == nil {
		err = appendNote(f, p, n)
	}
	if err != nil {
		return fmt.Errorf("note in the blob store: %w", err)
	}
	return nil
}

// appendNote writes a note behind a voucher's metadata, and closes its file.
func appendNote(f *os.File, p place, n Note) error {
	r, err := readRecord(f, p.key)
	var text []byte
	if err == nil && r.State != n.State {
		if text, err = marked(n, r.Size); err == nil {
			_, err = f.Write(text)
		}
		if err == nil {
			err = crashpoint.Do("store: sync a note", f.Sync)
		}
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Noted implements Store.
func (d *Dir) Noted(ctx context.Context, key string) (Stored, error) {
	p, err := placeOf(key)
	if err != nil {
		return Stored{}, err
	}
	v, err := d.noted(ctx, p)
	if err != nil {
		return Stored{}, fmt.Errorf("read a note of the blob store: %w", err)
	}
	return v, nil
}

func (d *Dir) noted(ctx context.Context, p place) (Stored, error) {
	f, err := d.openVoucher(ctx, p, os.O_RDONLY)
	if err == nil {
		defer func() { _ = f.Close() }()
		r, readErr := readRecord(f, p.key)
		return r.Stored, readErr
	}
	if !errors.Is(err, ErrMissing) {
		return Stored{}, err
	}
	root, enterErr := d.enter(ctx)
	if enterErr != nil {
		return Stored{}, enterErr
	}
	defer func() { _ = root.Close() }()
	var v Stored
	readErr := eachRetired(ctx, root, p.account, p.key, func(r record) bool {
		if r.Key == p.key {
			v, err = r.Stored, nil
		}
		return err != nil
	})
	return v, cmp.Or(readErr, err)
}

// Retire implements Store. It appends the notes to the hour's file, and then removes the vouchers.
// The notes are not forced to the disk: they tell the truth to a Redis that has lost its last
// writes, and only a power cut at both at once loses them.
func (d *Dir) Retire(ctx context.Context, vouchers ...Retired) error {
	byAccount := map[string][]Retired{}
	for _, v := range vouchers {
		p, err := placeOf(v.Key)
		if err != nil {
			return err
		}
		byAccount[p.account] = append(byAccount[p.account], v)
	}
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for account, vouchers := range byAccount {
		if err := d.retire(root, account, vouchers); err != nil {
			return fmt.Errorf("retire in the blob store: %w", err)
		}
	}
	return nil
}

func (d *Dir) retire(root *os.Root, account string, vouchers []Retired) error {
	claimed, err := root.OpenRoot(claimedDir(account))
	if err != nil {
		return unlessGone(err)
	}
	defer func() { _ = claimed.Close() }()
	lines := []byte("\n") // whatever a full disk has left of the line before
	var gone []string
	for _, v := range vouchers {
		line, err := retiredLine(claimed, v)
		if errors.Is(err, fs.ErrNotExist) { // retired or deleted already
			continue
		}
		if err != nil {
			return err
		}
		lines, gone = append(lines, line...), append(gone, v.Key)
	}
	if len(gone) == 0 {
		return nil
	}
	if err := crashpoint.Do("store: note what was delivered", func() error { return d.appendRetired(root, account, lines) }); err != nil {
		return err
	}
	for _, key := range gone {
		if err := unlessGone(crashpoint.Do("store: remove what was delivered", func() error { return claimed.Remove(key) })); err != nil {
			return err
		}
	}
	return nil
}

// retiredLine is what stays of a voucher: its record, a tab, and the note.
func retiredLine(claimed *os.Root, v Retired) ([]byte, error) {
	f, err := claimed.Open(v.Key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, _, err := readMetadata(f)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	return noteLine(text, v)
}

// noteLine is retiredLine of a voucher's metadata.
func noteLine(text []byte, v Retired) ([]byte, error) {
	text, _, _ = bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	if len(text) == 0 { // It was sent; all but that is lost.
		text = fmt.Appendf(nil, `{"version":%d,"key":%q}`, recordVersion, v.Key)
	}
	note, err := json.Marshal(Note{State: delivered, Result: v.Result})
	return slices.Concat(text, []byte("\t"), note, []byte("\n")), err
}

// appendRetired writes lines to this process's file of the hour.
func (d *Dir) appendRetired(root *os.Root, account string, lines []byte) error {
	name := deliveredDir(account) + "/" + time.Now().UTC().Format(hourFormat) + "-" + d.self
	f, err := d.create(root, account, name, os.O_APPEND)
	if err != nil {
		return err
	}
	_, err = f.Write(lines)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
