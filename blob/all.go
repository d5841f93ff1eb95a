package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/voucherd/voucherd/internal/accountname"
)

// Stored is all that a blob store in a directory knows of a voucher.
type Stored struct {
	Entry
	Meta
	Note

	PutAt    time.Time // by the file system's clock
	UploadID string    // empty: not claimed
}

// All implements Store.
func (d *Dir) All(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		root, err := d.enter(ctx)
		if err != nil {
			yield(Stored{}, err)
			return
		}
		defer func() { _ = root.Close() }()
		w := walk{root: root, yield: yield}
		if err := w.store(ctx); err != nil && !errors.Is(err, errEnough) {
			yield(Stored{}, fmt.Errorf("list the blob store: %w", err))
		}
	}
}

// errEnough says that the caller wants no more.
var errEnough = errors.New("enough")

type walk struct {
	root  *os.Root
	yield func(Stored, error) bool
}

func (w *walk) store(ctx context.Context) error {
	accounts, err := readDir(w.root, ".")
	if err != nil {
		return err
	}
	for _, account := range accounts {
		if !account.IsDir() || !accountname.Valid(account.Name()) {
			continue
		}
		shards, err := readDir(w.root, account.Name())
		if err != nil {
			return err
		}
		for _, shard := range shards {
			if len(shard.Name()) != shardLetters { // What is unclaimed has its bytes in a shard, or none yet.
				continue
			}
			if err := w.shard(ctx, account.Name()+"/"+shard.Name()); err != nil {
				return err
			}
		}
		if err := w.retired(ctx, account.Name()); err != nil {
			return err
		}
	}
	return nil
}

// shard takes each key once: by its voucher, or by metadata without one.
func (w *walk) shard(ctx context.Context, dir string) error {
	entries, err := readDir(w.root, dir)
	if err != nil {
		return err
	}
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[e.Name()] = true
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := strings.TrimSuffix(e.Name(), recordSuffix)
		p, err := placeOf(key)
		if err != nil || (key != e.Name() && names[key]) {
			continue
		}
		if err := w.voucher(p); err != nil {
			return err
		}
	}
	return nil
}

// anyRecord looks three times, since a Claim moves the metadata once.
func anyRecord(root *os.Root, p place) (r record, err error) {
	for _, name := range []string{p.claimedFile(), p.unclaimedFile(), p.claimedFile()} {
		if r, err = readRecord(root, name); !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	return record{}, err
}

func (w *walk) voucher(p place) error {
	r, err := anyRecord(w.root, p)
	r.Key = p.key
	info, statErr := w.root.Lstat(p.voucherFile())
	gone := errors.Is(statErr, fs.ErrNotExist)
	switch {
	case errors.Is(err, fs.ErrNotExist) && gone: // Deleted during the walk.
		return nil
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: %s has no metadata", ErrDamaged, p.key)
		if _, retiredErr := readRetired(w.root, p); retiredErr == nil {
			err = fmt.Errorf("%w: %s was being retired", ErrMissing, p.key)
		}
	case err != nil:
	case gone:
		err = fmt.Errorf("%w: %s", ErrMissing, p.key)
	case statErr != nil:
		err = statErr
	case info.Size() != r.Size:
		err = fmt.Errorf("%w: %s has %d bytes of %d", ErrDamaged, p.key, info.Size(), r.Size)
	}
	if err != nil && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrDamaged) {
		return err
	}
	if !w.yield(r.stored(), err) {
		return errEnough
	}
	return nil
}
