package blob_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
)

// The states that a crash can leave are made by hand here, file by file.
func TestLeftoversOfACrash(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-2 * time.Hour)
	for name, c := range map[string]struct {
		claim     bool                  // before the crash
		crash     func(onDisk) error    // what the crash left
		listed    bool                  // by Unclaimed, for the caller to decide
		remaining func(onDisk) []string // files after the sweep, and Delete of what was listed
	}{
		"put: bytes half written": {
			crash: func(f onDisk) error {
				return errors.Join(os.Remove(f.unclaimed), os.Rename(f.voucher, strings.TrimSuffix(f.unclaimed, ".json")+".part"))
			},
		},
		"put: metadata torn": {
			crash: func(f onDisk) error {
				return errors.Join(os.Truncate(f.unclaimed, 7), os.Rename(f.voucher, strings.TrimSuffix(f.unclaimed, ".json")+".part"))
			},
			listed: true,
		},
		"put: not yet renamed": {
			crash: func(f onDisk) error {
				return os.Rename(f.voucher, strings.TrimSuffix(f.unclaimed, ".json")+".part")
			},
			listed: true,
		},
		"put: done, no upload": {crash: func(onDisk) error { return nil }, listed: true},
		"claim: new metadata half written": {
			crash:  func(f onDisk) error { return os.WriteFile(f.unclaimed+".x.tmp", []byte("{"), 0o600) },
			listed: true,
		},
		"claim: old metadata not yet removed": {
			claim:     true,
			crash:     func(f onDisk) error { return os.WriteFile(f.unclaimed, []byte(`{"version":1}`), 0o600) },
			remaining: func(f onDisk) []string { return []string{f.voucher, f.claimed} },
		},
		"note: half written": {
			claim:     true,
			crash:     func(f onDisk) error { return os.WriteFile(f.unclaimed+".x.tmp", []byte("{"), 0o600) },
			remaining: func(f onDisk) []string { return []string{f.voucher, f.claimed} },
		},
		"delete: unclaimed, bytes gone": {crash: func(f onDisk) error { return os.Remove(f.voucher) }, listed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := openDir(t, dir)
			e := put(t, d, "default", voucher(10))
			if c.claim {
				mustClaim(t, d, e, "upload")
			}
			f := filesOf(dir, "default", e.Key)
			if err := c.crash(f); err != nil {
				t.Fatal(err)
			}
			before := files(t, dir)
			if young, err := d.Unclaimed(t.Context(), "default", time.Hour, 10); err != nil || len(young) != 0 {
				t.Errorf("young: %+v, %v", young, err)
			}
			if after := files(t, dir); !c.claim && !slices.Equal(before, after) {
				t.Errorf("a young leftover was removed: %q of %q are left", after, before)
			}
			for _, name := range files(t, dir) {
				if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
					t.Fatal(err)
				}
			}
			found, err := d.Unclaimed(t.Context(), "default", time.Hour, 10)
			if err != nil || (len(found) == 1) != c.listed {
				t.Fatalf("unclaimed: %+v, %v", found, err)
			}
			for _, u := range found {
				if u.Key != e.Key || u.Age < time.Hour {
					t.Errorf("unclaimed: %+v", u)
				}
				if err := d.Delete(t.Context(), u.Key); err != nil {
					t.Error(err)
				}
			}
			var want []string
			if c.remaining != nil {
				for _, path := range c.remaining(f) {
					rel, err := filepath.Rel(dir, path)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, rel)
				}
			}
			if got := files(t, dir); !slices.Equal(got, want) {
				t.Errorf("left: %q, want %q", got, want)
			}
		})
	}
}

func TestKilledPutLeavesOnlyAPart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(voucher(50_000)); err != nil {
		t.Fatal(err)
	}
	until(t, "a part of 50,000 bytes", func() bool {
		parts, _ := filepath.Glob(filepath.Join(dir, "default", "unclaimed", "*.part"))
		if len(parts) != 1 {
			return false
		}
		info, err := os.Stat(parts[0])
		return err == nil && info.Size() == 50_000
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // It was killed.
	if got, errs := all(t, d); len(got) != 0 || len(errs) != 0 {
		t.Errorf("all: %+v, %v", got, errs)
	}
	left := files(t, dir)
	if len(left) != 1 || !strings.HasSuffix(left[0], ".part") {
		t.Fatalf("left: %q", left)
	}
	unclaimed(t, d, "default") // However young the caller wants them: this Put might still be running.
	if left = files(t, dir); len(left) != 1 {
		t.Fatalf("a young part was removed, left: %q", left)
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, left[0]), long, long); err != nil {
		t.Fatal(err)
	}
	if found := unclaimed(t, d, "default"); len(found) != 0 {
		t.Errorf("unclaimed: %+v", found)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left after the sweep: %q", left)
	}
}

// A Claim or Note that meets a Delete must not bring metadata back for good.
func TestClaimAndDeleteAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	for range 50 {
		e := put(t, d, "default", voucher(10))
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := d.Claim(t.Context(), e.Key, "u"); err != nil && !errors.Is(err, blob.ErrMissing) {
				t.Error(err)
			}
			if err := d.Note(t.Context(), e.Key, blob.Note{State: "rejected"}); err != nil && !errors.Is(err, blob.ErrMissing) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := d.Delete(t.Context(), e.Key); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if left := files(t, dir); len(left) != 0 {
			t.Fatalf("left: %q", left)
		}
	}
}
