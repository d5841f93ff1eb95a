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
	"sync/atomic"

	"github.com/voucherd/voucherd/internal/crashpoint"
)

const copyBuffer = 128 << 10 // bytes

// Dir is a blob store in a directory, which several processes, also on several hosts,
// may share:
//
//	STORE                               the marker, which names the blob store
//	<account>/unclaimed/<key>           a voucher until it is claimed: bytes and metadata
//	<account>/claimed/<key>             a voucher that an upload needs
//	<account>/delivered/<hour>-<random> what came of vouchers whose bytes are gone, a line each
//
// A voucher is one file: its bytes, its metadata, and notes behind that (see record). What a crash
// can leave, and who sees to it:
//
//   - in Put: an unclaimed file without its end. Unclaimed lists it when it is an hour old.
//   - after Put, and in Claim: a voucher that is claimed or not. Unclaimed lists the latter.
//   - in Note: a note that was cut off, which counts as none.
//   - in Retire: what came of a voucher, and the voucher. All reports it as ErrMissing; deleting
//     removes the voucher.
//
// What Put wrote is on the disk when it returns, and what Claim and Note changed when they do. The
// name of a voucher is durable once it is claimed. A deletion is not forced out, so a power cut may
// bring back what was deleted just before it, and lose what Retire noted.
type Dir struct {
	path    string
	id      string
	self    string                      // names this process's own files
	buffers sync.Pool                   // of *[copyBuffer]byte
	marker  atomic.Pointer[os.FileInfo] // of the marker that was last read
	known   sync.Map                    // accounts whose directories are known to be durable
	mu      sync.Mutex
	syncs   map[string]*groupSync // by account
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
	return &Dir{
		path: path, id: m.ID, self: randomName(), syncs: map[string]*groupSync{},
		buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }},
	}, nil
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
	if err := d.checkMarker(root); err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

// checkMarker reads the marker unless it is the very file that was read before.
func (d *Dir) checkMarker(root *os.Root) error {
	info, err := root.Lstat(markerFile)
	if err == nil {
		last := d.marker.Load()
		if last != nil && os.SameFile(*last, info) && (*last).ModTime().Equal(info.ModTime()) {
			return nil
		}
		var m marker
		if m, err = readMarker(root); err == nil && m.ID != d.id {
			return fmt.Errorf("store directory %s holds another blob store than at the start", d.path)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store directory %s has no %s marker any more: is its disk mounted?", d.path, markerFile)
	case err == nil:
		d.marker.Store(&info)
	}
	return err
}

func (p place) unclaimedFile() string { return unclaimedDir(p.account) + "/" + p.key }
func (p place) claimedFile() string   { return claimedDir(p.account) + "/" + p.key }

func unclaimedDir(account string) string { return account + "/unclaimed" }
func claimedDir(account string) string   { return account + "/claimed" }

// file is where a file of the store lies.
func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// Open implements Store. It holds no bytes itself.
func (d *Dir) Open(ctx context.Context, e Entry) (io.ReadCloser, error) {
	p, err := placeOf(e.Key)
	if err != nil {
		return nil, err
	}
	f, err := d.openVoucher(ctx, p, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open in the blob store: %w", err)
	}
	return newVerified(onDisk{interruptible{ctx, io.LimitReader(f, e.Size)}, f}, e), nil
}

type onDisk struct {
	io.Reader
	io.Closer
}

// openVoucher opens a voucher's file. It makes sure of the store only where the file is not at
// hand: ErrMissing says that it is nowhere in what is certainly the store.
func (d *Dir) openVoucher(ctx context.Context, p place, flag int) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.file(p.claimedFile()), flag, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	root, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	for _, name := range []string{p.unclaimedFile(), p.claimedFile()} { // a Claim moves it this way
		if f, err = root.OpenFile(name, flag, 0); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrMissing, p.key)
}

// Claim implements Store. All that are claimed at the same time share one sync of the directory.
func (d *Dir) Claim(ctx context.Context, key string) error {
	p, err := placeOf(key)
	if err != nil {
		return err
	}
	if err := d.claim(ctx, p); err != nil {
		return fmt.Errorf("claim in the blob store: %w", err)
	}
	return nil
}

func (d *Dir) claim(ctx context.Context, p place) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := crashpoint.Do("store: claim", func() error { return os.Rename(d.file(p.unclaimedFile()), d.file(p.claimedFile())) })
	if errors.Is(err, fs.ErrNotExist) { // claimed already, perhaps just now and not yet synced
		var f *os.File
		if f, err = d.openVoucher(ctx, p, os.O_RDONLY); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return err
	}
	return d.syncsOf(p.account).do(func() error { //nolint:contextcheck // it is for others too
		root, err := d.enter(context.Background())
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }()
		return crashpoint.Do("store: sync what is claimed", func() error { return syncDir(root, claimedDir(p.account)) })
	})
}

func (d *Dir) syncsOf(account string) *groupSync {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.syncs[account] == nil {
		d.syncs[account] = &groupSync{}
	}
	return d.syncs[account]
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
		for _, name := range []string{p.unclaimedFile(), p.claimedFile()} { // a Claim moves it this way
			err := crashpoint.Do("store: delete a voucher", func() error { return root.Remove(name) })
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("delete from the blob store: %w", err)
			}
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
