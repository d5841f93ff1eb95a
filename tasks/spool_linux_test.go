package tasks_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

// TestAFileOfSomebodyElse has a file in front that this user may not read, as one that root
// spooled: it waits for a person, and holds up nothing.
func TestAFileOfSomebodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dir := t.TempDir()
	spool := b.spooled(dir, b.Client)
	theirs := spool(tasks.Request{OrderID: "1", Voucher: pdf("1")})
	ours := spool(tasks.Request{OrderID: "2", Voucher: pdf("2")})
	b.must(filepath.WalkDir(filepath.Dir(dir), func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Chmod(path, 0o777) //nolint:gosec // of this test alone
		}
		return err
	}))
	file := spooledFile(t, dir, theirs)
	b.must(os.Chmod(file, 0))
	b.must(process.AsNobody(func() {
		d, err := b.DrainSpool(b.ctx)
		if d.Enqueued != 1 || len(d.Refused) != 0 || err == nil || !strings.Contains(err.Error(), theirs.ID) {
			t.Errorf("%+v, %v", d, err)
		}
	}))
	b.get(ours.ID)
	b.must(os.Chmod(file, 0o600))
	if d, err := b.DrainSpool(b.ctx); err != nil || d.Enqueued != 1 {
		t.Errorf("after that: %+v, %v", d, err)
	}
}

// forking is a blob store during whose Put another process is started: until it has begun, that
// process has the files which are open.
type forking struct {
	blob.Store

	file   string
	shared int // that process's descriptor of the file
}

func (f *forking) Put(ctx context.Context, m blob.Meta, r io.Reader) (blob.Entry, error) {
	const own = "/proc/self/fd"
	open, err := os.ReadDir(own)
	for _, e := range open {
		if to, gone := os.Readlink(filepath.Join(own, e.Name())); gone == nil && to == f.file {
			var fd int
			if fd, err = strconv.Atoi(e.Name()); err == nil {
				f.shared, err = syscall.Dup(fd)
			}
		}
	}
	if err != nil {
		return blob.Entry{}, err
	}
	return f.Store.Put(ctx, m, r)
}

// TestAStartingProcessDoesNotLockTheSpool has a process be started while the spool is drained: it is
// drained again though that process has not closed the files that are not its own.
func TestAStartingProcessDoesNotLockTheSpool(t *testing.T) {
	t.Parallel()
	rdb, dir := redistest.Client(t), t.TempDir()
	store := &forking{Store: blob.NewRedis(rdb), file: filepath.Join(dir, "lock")}
	b := with(t, rdb, store, 0)
	spool := b.spooled(dir, b.Client)
	spool(tasks.Request{OrderID: "1", Voucher: pdf("1")})
	if d, err := b.DrainSpool(b.ctx); err != nil || d.Enqueued != 1 || store.shared == 0 {
		t.Fatalf("%+v, %v, and the lock is %d there", d, err, store.shared)
	}
	defer func() { b.must(syscall.Close(store.shared)) }()
	store.file = ""
	spool(tasks.Request{OrderID: "2", Voucher: pdf("2")})
	if d, err := b.DrainSpool(b.ctx); err != nil || d.Enqueued != 1 {
		t.Errorf("after that: %+v, %v", d, err)
	}
}
