package blob_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/test/process"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("a full disk needs a small one to be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	d := openDir(t, dir)
	kept := put(t, d, "default", voucher(100_000))
	before := files(t, dir)
	_, err := d.Put(t.Context(), blob.Meta{Account: "default"}, bytes.NewReader(voucher(1<<20)))
	mustBeAway(t, "put", err)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("put: %v", err)
	}
	if after := files(t, dir); len(after) != len(before) {
		t.Errorf("files %q, before %q", after, before)
	}
	fillUp(t, filepath.Join(dir, "ballast"))
	mustBeAway(t, "note", d.Note(t.Context(), kept.Key, blob.Note{State: strings.Repeat("long", 4096)}))
	mustBeAway(t, "check", d.Check(t.Context()))
	mustClaim(t, d, kept) // it needs no room
	if got, err := read(t.Context(), d, kept); err != nil || len(got) != 100_000 {
		t.Errorf("reading from a full disk: %d bytes, %v", len(got), err)
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if stored, errs := all(t, d); len(errs) != 0 || stored[kept.Key].Entry != kept || stored[kept.Key].State != "" {
		t.Errorf("all: %+v, %v", stored, errs)
	}
	put(t, d, "default", voucher(100_000))
	if err := d.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "default", "unclaimed", "*.tmp")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func fillUp(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// Errors of the disk are the blob store's, never the voucher's.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(f onDisk) error{
		// Reading another address space at 0 gives EIO, as a bad disk does.
		"input/output error": func(f onDisk) error {
			return errors.Join(os.Remove(f.unclaimed), os.Symlink("/proc/self/mem", f.unclaimed))
		},
		"a directory in its place": func(f onDisk) error {
			return errors.Join(os.Remove(f.unclaimed), os.Mkdir(f.unclaimed, 0o700))
		},
		"a file in the directory's place": func(f onDisk) error {
			claimed := filepath.Dir(f.claimed)
			return errors.Join(os.RemoveAll(claimed), os.WriteFile(claimed, nil, 0o600))
		},
		"links in a circle": func(f onDisk) error {
			return errors.Join(os.Remove(f.unclaimed), os.Symlink(f.unclaimed, f.unclaimed))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := openDir(t, dir)
			e := put(t, d, "default", voucher(1000))
			if err := spoil(filesOf(dir, "default", e.Key)); err != nil {
				t.Fatal(err)
			}
			_, err := read(t.Context(), d, e)
			mustBeAway(t, "read", err)
		})
	}
}

func TestPermissionDenied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	e := put(t, d, "default", voucher(1000))
	for _, name := range []string{filesOf(dir, "default", e.Key).unclaimed, dir} {
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
		if err := process.AsNobody(func() {
			_, err := read(t.Context(), d, e)
			mustBeAway(t, "read", err)
			if !errors.Is(err, syscall.EACCES) {
				t.Error(err)
			}
		}); err != nil {
			t.Error(err)
		}
	}
	if err := process.AsNobody(func() { mustAllBeAway(t, d, e) }); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}
