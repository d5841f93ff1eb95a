package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Put implements Store.
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
	if err = d.makeDirs(root, p); err != nil {
		return Entry{}, fmt.Errorf("put in the blob store: %w", err)
	}
	entry, err := d.put(ctx, root, p, meta, r)
	if err == nil {
		return entry, nil
	}
	if errors.Is(err, fs.ErrNotExist) { // Someone removed directories: make them anew next time.
		d.known.Clear()
	}
	_ = root.Remove(p.partFile())
	_ = removeAll(root, p) // What stays is unclaimed and will be found.
	return Entry{}, fmt.Errorf("put in the blob store: %w", err)
}

func (d *Dir) put(ctx context.Context, root *os.Root, p place, meta Meta, r io.Reader) (Entry, error) {
	entry, putAt, err := d.writePart(ctx, root, p, r)
	if err != nil {
		return Entry{}, err
	}
	if err := writeRecord(root, p.unclaimedFile(), record{Entry: entry, Meta: meta, PutAt: putAt}); err != nil {
		return Entry{}, err
	}
	if err := root.Rename(p.partFile(), p.voucherFile()); err != nil {
		return Entry{}, err
	}
	if err := syncDir(root, p.unclaimedDir()); err != nil {
		return Entry{}, err
	}
	return entry, syncDir(root, p.shardDir())
}

// writePart writes the bytes to the disk under a passing name. The time is the file system's own.
func (d *Dir) writePart(ctx context.Context, root *os.Root, p place, r io.Reader) (Entry, time.Time, error) {
	f, err := createNew(root, p.partFile())
	if err != nil {
		return Entry{}, time.Time{}, err
	}
	defer func() { _ = f.Close() }() // Its bytes are synced before.
	buf, ok := d.buffers.Get().(*[copyBuffer]byte)
	if !ok {
		buf = new([copyBuffer]byte)
	}
	defer d.buffers.Put(buf)
	sum := newSums()
	// MultiWriter hides the file's ReadFrom, which would not use the buffer.
	_, err = io.CopyBuffer(io.MultiWriter(f, sum), interruptible{ctx, r}, buf[:])
	if err != nil {
		return Entry{}, time.Time{}, err
	}
	if err = f.Sync(); err != nil {
		return Entry{}, time.Time{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return Entry{}, time.Time{}, err
	}
	return sum.entry(p.key), info.ModTime(), nil
}

// interruptible ends with its context. It hides WriteTo as well.
type interruptible struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other way to end a copy.
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// makeDirs makes a voucher's directories. A name made by another process may not be durable yet, so
// each process syncs it once for itself.
func (d *Dir) makeDirs(root *os.Root, p place) error {
	if _, ok := d.known.Load(p.shardDir()); ok {
		return nil
	}
	for _, dir := range []string{p.unclaimedDir(), p.shardDir()} {
		if err := root.MkdirAll(dir, ownerDir); err != nil {
			return err
		}
	}
	if _, ok := d.known.Load(p.account); !ok {
		if err := syncDir(root, "."); err != nil {
			return err
		}
		d.known.Store(p.account, nil)
	}
	if err := syncDir(root, p.account); err != nil {
		return err
	}
	d.known.Store(p.shardDir(), nil)
	return nil
}
