package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	copyBuffer   = 128 << 10 // bytes
	shardLetters = 2         // 1024 directories per account
)

// Dir is a blob store in a directory, which several processes, also on several hosts,
// may share:
//
//	STORE                          the marker, which names the blob store
//	<account>/<2 letters>/<key>       a voucher's bytes
//	<account>/<2 letters>/<key>.json  its metadata, once it is claimed
//	<account>/unclaimed/<key>.json    its metadata, until it is claimed
//	<account>/unclaimed/<key>.part    bytes still being written
//	<account>/unclaimed/….tmp         metadata being written
//	<account>/delivered/<hour>/<key>.json  what came of it, once its bytes are gone
//
// What a crash can leave, and who sees to it:
//
//   - in Put: a .part, and then metadata with or without bytes, unclaimed.
//     Unclaimed removes old parts and lists the rest.
//   - in Claim: metadata in both places. The claimed one counts, and Unclaimed
//     removes the other.
//   - in Delete: metadata without bytes. All reports it as ErrMissing, and
//     Unclaimed lists it if it was not claimed; deleting again removes it.
//   - in Retire: what came of it, and the bytes. All reports it as ErrMissing;
//     deleting removes the bytes.
//
// Put, Claim and Note are on the disk when they return. A deletion is not forced out, so a power
// cut may bring back what was deleted just before it, and lose what Retire noted.
type Dir struct {
	path    string
	id      string
	buffers sync.Pool // of *[copyBuffer]byte
	known   sync.Map  // directories whose names are known to be durable
}

// OpenDir opens the blob store in an existing directory. An empty one becomes a new blob store; one
// that holds files but no marker is refused.
func OpenDir(ctx context.Context, path string) (*Dir, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store directory %s does not exist: make or mount it first", path)
	}
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	m, err := ensureMarker(root)
	if err != nil {
		return nil, fmt.Errorf("store directory %s: %w", path, err)
	}
	return &Dir{path: path, id: m.ID, buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }}}, nil
}

// enter holds on to the directory, so that it cannot be unmounted meanwhile, and makes sure that it
// is the store. Only then does a name that is not there mean anything, and only then may files be
// made.
func (d *Dir) enter(ctx context.Context) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	m, err := readMarker(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("store directory %s has no %s marker any more: is its disk mounted?", d.path, markerFile)
	case err == nil && m.ID != d.id:
		err = fmt.Errorf("store directory %s holds another blob store than at the start", d.path)
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

func (p place) unclaimedDir() string  { return p.account + "/unclaimed" }
func (p place) shardDir() string      { return p.account + "/" + p.random[:shardLetters] }
func (p place) voucherFile() string   { return p.shardDir() + "/" + p.key }
func (p place) claimedFile() string   { return p.voucherFile() + recordSuffix }
func (p place) unclaimedFile() string { return p.unclaimedDir() + "/" + p.key + recordSuffix }
func (p place) partFile() string      { return p.unclaimedDir() + "/" + p.key + partSuffix }

// Open implements Store. It holds no bytes itself.
func (d *Dir) Open(ctx context.Context, e Entry) (io.ReadCloser, error) {
	p, err := placeOf(e.Key)
	if err != nil {
		return nil, err
	}
	if err = ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(d.path, p.voucherFile()))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.openInStore(ctx, p)
	}
	if err != nil {
		return nil, fmt.Errorf("open in the blob store: %w", err)
	}
	return newVerified(onDisk{interruptible{ctx, f}, f}, e), nil
}

// openInStore is Open once more, in what is certainly the store.
func (d *Dir) openInStore(ctx context.Context, p place) (*os.File, error) {
	root, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(p.voucherFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrMissing, p.key)
	}
	return f, err
}

type onDisk struct {
	io.Reader
	io.Closer
}

// Delete implements Store.
func (d *Dir) Delete(ctx context.Context, keys ...string) error {
	places, err := placesOf(keys)
	if err != nil {
		return err
	}
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, p := range places {
		if err := removeAll(root, p); err != nil {
			return fmt.Errorf("delete from the blob store: %w", err)
		}
	}
	return nil
}

// removeAll removes the bytes first: metadata alone says that they are gone, bytes alone would say
// nothing.
func removeAll(root *os.Root, p place) error {
	for _, name := range []string{p.voucherFile(), p.claimedFile(), p.unclaimedFile()} {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Check implements Store: it looks for the marker, writes a small file and removes it.
func (d *Dir) Check(ctx context.Context) error {
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	name := tempName(markerFile)
	err = writeNew(root, name, []byte("check\n"))
	if removeErr := root.Remove(name); err == nil {
		err = removeErr
	}
	if err != nil {
		return fmt.Errorf("check the blob store: %w", err)
	}
	return nil
}

// Identity implements Store.
func (d *Dir) Identity(ctx context.Context) (string, error) {
	root, err := d.enter(ctx)
	if err != nil {
		return "", err
	}
	return "file:" + d.id, root.Close()
}

// Close implements Store; nothing stays open between calls.
func (d *Dir) Close() error { return nil }
