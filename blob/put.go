package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/voucherd/voucherd/internal/crashpoint"
)

// Put implements Store. Each voucher's bytes are synced by themselves, at the same time as others';
// a file system's journal commits them together.
func (d *Dir) Put(ctx context.Context, meta Meta, r io.Reader) (Entry, error) {
	p, err := newPlace(meta.Account)
	if err != nil {
		return Entry{}, err
	}
	root, err := d.enter(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer func() { _ = root.Close() }()
	entry, err := d.put(ctx, root, p, meta, r)
	if err != nil {
		_ = root.Remove(p.unclaimedFile()) // What stays is unclaimed and will be found.
		return Entry{}, fmt.Errorf("put in the blob store: %w", err)
	}
	return entry, nil
}

func (d *Dir) put(ctx context.Context, root *os.Root, p place, meta Meta, r io.Reader) (Entry, error) {
	if _, ok := d.known.Load(p.account); !ok {
		if err := d.makeDirs(root, p.account); err != nil {
			return Entry{}, err
		}
	}
	f, err := d.create(root, p.account, p.unclaimedFile(), os.O_EXCL)
	if err != nil {
		return Entry{}, err
	}
	entry, err := d.write(ctx, f, p, meta, r)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return entry, err
}

// write writes the bytes and the metadata to the disk. The time is the file system's own.
func (d *Dir) write(ctx context.Context, f *os.File, p place, meta Meta, r io.Reader) (Entry, error) {
	buf, ok := d.buffers.Get().(*[copyBuffer]byte)
	if !ok {
		buf = new([copyBuffer]byte)
	}
	defer d.buffers.Put(buf)
	sum := newSums()
	// MultiWriter hides the file's ReadFrom, which would not use the buffer.
	err := crashpoint.Do("store: write the bytes", func() error {
		_, err := io.CopyBuffer(io.MultiWriter(f, sum), interruptible{ctx, r}, buf[:])
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return Entry{}, err
	}
	entry := sum.entry(p.key)
	text, err := record{Stored: Stored{Entry: entry, Meta: meta, PutAt: info.ModTime()}}.trailer()
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = crashpoint.Do("store: sync the voucher", f.Sync)
	}
	if err != nil {
		return Entry{}, err
	}
	return entry, nil
}

// create opens a file for writing, and makes it if need be, and the account's directories if someone
// removed them.
func (d *Dir) create(root *os.Root, account, name string, flag int) (*os.File, error) {
	flag |= os.O_WRONLY | os.O_CREATE
	f, err := root.OpenFile(name, flag, ownerFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.makeDirs(root, account); err == nil {
			f, err = root.OpenFile(name, flag, ownerFile)
		}
	}
	return f, err
}

// makeDirs makes an account's directories. A name made by another process may not be durable yet,
// so each process syncs it once for itself.
func (d *Dir) makeDirs(root *os.Root, account string) error {
	for _, dir := range []string{unclaimedDir(account), claimedDir(account), deliveredDir(account)} {
		if err := root.MkdirAll(dir, ownerDir); err != nil {
			return err
		}
	}
	err := crashpoint.Do("store: sync new directories", func() error { return cmp.Or(syncDir(root, account), syncDir(root, ".")) })
	if err != nil {
		return err
	}
	d.known.Store(account, nil)
	return nil
}
