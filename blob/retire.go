package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/internal/accountname"
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

const hourFormat = "2006010215" // UTC; notes of one hour share a directory, so that they can be forgotten together

func retiredDir(account string) string { return account + "/" + delivered }

// Retire implements Store. The note is not forced to the disk: it tells the truth to a Redis that
// has lost its last writes, and only a power cut at both at once loses it.
func (d *Dir) Retire(ctx context.Context, vouchers ...Retired) error {
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	hour := time.Now().UTC().Format(hourFormat)
	for _, v := range vouchers {
		p, err := placeOf(v.Key)
		if err == nil {
			err = d.retire(root, p, retiredDir(p.account)+"/"+hour, v.Result)
		}
		if err != nil {
			return fmt.Errorf("retire in the blob store: %w", err)
		}
	}
	return nil
}

// retire moves the metadata, with the note behind it, out of the way of what is still to be
// delivered, and then removes the bytes. A voucher without metadata has been retired or deleted
// already.
func (d *Dir) retire(root *os.Root, p place, dir string, result json.RawMessage) error {
	if _, ok := d.known.Load(dir); !ok {
		if err := root.MkdirAll(dir, ownerDir); err != nil {
			return err
		}
		d.known.Store(dir, nil)
	}
	err := appendNote(root, p.claimedFile(), Note{State: delivered, Result: result})
	if err == nil {
		err = root.Rename(p.claimedFile(), dir+"/"+p.key+recordSuffix)
	}
	if errors.Is(err, fs.ErrNotExist) {
		d.known.Delete(dir) // perhaps it is the directory that is missing
		err = nil
	}
	if err != nil {
		return err
	}
	if err := root.Remove(p.voucherFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// appendNote writes a note behind a record: readRecord takes what stands last.
func appendNote(root *os.Root, name string, n Note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
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
	root, err := d.enter(ctx)
	if err != nil {
		return Note{}, err
	}
	defer func() { _ = root.Close() }()
	r, err := readRecord(root, p.claimedFile())
	if errors.Is(err, fs.ErrNotExist) {
		r, err = readRetired(root, p)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %s", ErrMissing, p.key)
	}
	if err != nil {
		return Note{}, fmt.Errorf("read a note of the blob store: %w", err)
	}
	return r.Note, nil
}

// readRetired looks for a retired voucher's metadata, the newest first. The error wraps
// fs.ErrNotExist when there is none.
func readRetired(root *os.Root, p place) (record, error) {
	hours, err := readDir(root, retiredDir(p.account))
	if err != nil {
		return record{}, err
	}
	for _, hour := range slices.Backward(hours) {
		r, err := readRecord(root, retiredDir(p.account)+"/"+hour.Name()+"/"+p.key+recordSuffix)
		if !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	return record{}, fs.ErrNotExist
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
	hours, err := readDir(root, retiredDir(account))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, hour := range hours {
		from, parseErr := time.Parse(hourFormat, hour.Name())
		if parseErr != nil || time.Since(from.Add(time.Hour)) < olderThan {
			continue
		}
		if err == nil {
			err = removeDir(ctx, root, retiredDir(account)+"/"+hour.Name())
			d.known.Delete(retiredDir(account) + "/" + hour.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("forget what was delivered from the blob store: %w", err)
	}
	return nil
}

// removeDir removes a directory of files. It goes on next time where the context ends.
func removeDir(ctx context.Context, root *os.Root, name string) error {
	entries, err := readDir(root, name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := root.Remove(name + "/" + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return root.Remove(name)
}

// retired gives what All tells of vouchers that were delivered not long ago.
func (w *walk) retired(ctx context.Context, account string) error {
	hours, err := readDir(w.root, retiredDir(account))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, hour := range hours {
		if err != nil {
			return err
		}
		err = w.retiredHour(ctx, retiredDir(account)+"/"+hour.Name())
	}
	return err
}

func (w *walk) retiredHour(ctx context.Context, dir string) error {
	entries, err := readDir(w.root, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err = ctx.Err(); err != nil {
			return err
		}
		p, err := placeOf(strings.TrimSuffix(e.Name(), recordSuffix))
		if err != nil {
			continue
		}
		r, err := readRecord(w.root, dir+"/"+e.Name())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
			continue // forgotten meanwhile; or only a hint is lost
		}
		if err != nil {
			return err
		}
		r.Key = p.key
		if !w.yield(r.stored(), nil) {
			return errEnough
		}
	}
	return nil
}
