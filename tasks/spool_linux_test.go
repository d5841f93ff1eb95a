package tasks_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/process"
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
