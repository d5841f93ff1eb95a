package blob

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
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
			err = f.Sync()
		}
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Noted implements Store.
func (d *Dir) Noted(ctx context.Context, key string) (Note, error) {
	p, err := placeOf(key)
	if err != nil {
		return Note{}, err
	}
	n, err := d.noted(ctx, p)
	if err != nil {
		return Note{}, fmt.Errorf("read a note of the blob store: %w", err)
	}
	return n, nil
}

func (d *Dir) noted(ctx context.Context, p place) (Note, error) {
	f, err := d.openVoucher(ctx, p, os.O_RDONLY)
	if err == nil {
		defer func() { _ = f.Close() }()
		r, err := readRecord(f, p.key)
		return r.Note, err
	}
	if !errors.Is(err, ErrMissing) {
		return Note{}, err
	}
	root, enterErr := d.enter(ctx)
	if enterErr != nil {
		return Note{}, enterErr
	}
	defer func() { _ = root.Close() }()
	var n Note
	readErr := eachRetired(ctx, root, p.account, p.key, func(r record) bool {
		if r.Key == p.key {
			n, err = r.Note, nil
		}
		return err != nil
	})
	return n, cmp.Or(readErr, err)
}

// Retire implements Store. It appends the notes to the hour's file, and then removes the vouchers.
// The notes are not forced to the disk: they tell the truth to a Redis that has lost its last
// writes, and only a power cut at both at once loses them.
func (d *Dir) Retire(ctx context.Context, vouchers ...Retired) error {
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	lines := map[string][]byte{} // by account
	var places []place
	for _, v := range vouchers {
		p, err := placeOf(v.Key)
		if err != nil {
			return err
		}
		r, err := recordOf(root, p.claimedFile(), p)
		if errors.Is(err, fs.ErrNotExist) { // retired or deleted already
			continue
		}
		if errors.Is(err, ErrDamaged) { // it was sent; only what the note says of it is lost
			r, err = record{Version: recordVersion, Entry: Entry{Key: p.key}, Meta: Meta{Account: p.account}}, nil
		}
		r.Note = Note{State: delivered, Result: v.Result}
		text, jsonErr := json.Marshal(r)
		if err = errors.Join(err, jsonErr); err != nil {
			return fmt.Errorf("retire in the blob store: %w", err)
		}
		lines[p.account] = append(append(lines[p.account], text...), '\n')
		places = append(places, p)
	}
	for account, text := range lines {
		if err := d.appendRetired(root, account, text); err != nil {
			return fmt.Errorf("retire in the blob store: %w", err)
		}
	}
	for _, p := range places {
		if err := unlessGone(root.Remove(p.claimedFile())); err != nil {
			return fmt.Errorf("retire in the blob store: %w", err)
		}
	}
	return nil
}

// appendRetired writes lines to this process's file of the hour. They begin on a line of their own,
// whatever a full disk has left of the ones before.
func (d *Dir) appendRetired(root *os.Root, account string, lines []byte) error {
	name := deliveredDir(account) + "/" + time.Now().UTC().Format(hourFormat) + "-" + d.self
	const flag = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	f, err := root.OpenFile(name, flag, ownerFile)
	if errors.Is(err, fs.ErrNotExist) { // Someone removed directories.
		if err = d.makeDirs(root, account); err == nil {
			f, err = root.OpenFile(name, flag, ownerFile)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte("\n"), lines...))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
