package blob_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
		claim     bool               // before the crash
		crash     func(onDisk) error // what the crash left
		listed    bool               // by Unclaimed, for the caller to decide
		remaining bool               // the voucher is there after Delete of what was listed
	}{
		"put: no bytes":         {crash: func(f onDisk) error { return os.Truncate(f.unclaimed, 0) }, listed: true},
		"put: bytes half there": {crash: func(f onDisk) error { return os.Truncate(f.unclaimed, 5) }, listed: true},
		"put: no metadata":      {crash: func(f onDisk) error { return os.Truncate(f.unclaimed, 10) }, listed: true},
		"put: metadata torn":    {crash: func(f onDisk) error { return os.Truncate(f.unclaimed, 40) }, listed: true},
		"put: mark torn":        {crash: cutLastByte, listed: true},
		"put: never synced": {
			crash: func(f onDisk) error {
				return errors.Join(os.Truncate(f.unclaimed, 0), os.Truncate(f.unclaimed, 300)) // zeros
			},
			listed: true,
		},
		"put: done, no upload": {crash: func(onDisk) error { return nil }, listed: true},
		"claim: done":          {claim: true, crash: func(onDisk) error { return nil }, remaining: true},
		"list: clock left behind": {
			claim:     true,
			crash:     func(f onDisk) error { return os.WriteFile(filepath.Dir(f.unclaimed)+"/clock.x.tmp", nil, 0o600) },
			remaining: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := openDir(t, dir)
			e := put(t, d, "default", voucher(10))
			if c.claim {
				mustClaim(t, d, e)
			}
			f := filesOf(dir, "default", e.Key)
			if err := c.crash(f); err != nil {
				t.Fatal(err)
			}
			before := files(t, dir)
			if young, err := d.Unclaimed(t.Context(), "default", time.Hour, 10); err != nil || len(young) != 0 {
				t.Errorf("young: %+v, %v", young, err)
			}
			if after := files(t, dir); !slices.Equal(before, after) {
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
			if c.remaining {
				want = []string{filepath.Join("default", "claimed", e.Key)}
			}
			if got := files(t, dir); !slices.Equal(got, want) {
				t.Errorf("left: %q, want %q", got, want)
			}
		})
	}
}

func cutLastByte(f onDisk) error {
	info, err := os.Stat(f.unclaimed)
	if err != nil {
		return err
	}
	return os.Truncate(f.unclaimed, info.Size()-1)
}

func TestKilledPutLeavesNoVoucher(t *testing.T) {
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
	until(t, "50,000 bytes", func() bool {
		parts, _ := filepath.Glob(filepath.Join(dir, "default", "unclaimed", "*"))
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
	if len(left) != 1 {
		t.Fatalf("left: %q", left)
	}
	if found := unclaimed(t, d, "default"); len(found) != 0 { // However young the caller wants them: this Put might still be running.
		t.Errorf("a Put that may be running is listed: %+v", found)
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, left[0]), long, long); err != nil {
		t.Fatal(err)
	}
	found := unclaimed(t, d, "default")
	if len(found) != 1 || found[0].Entry != (blob.Entry{Key: filepath.Base(left[0])}) || found[0].Meta != (blob.Meta{}) {
		t.Fatalf("unclaimed: %+v", found)
	}
	if err := d.Delete(t.Context(), found[0].Key); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// A process is killed at any moment while vouchers are put, claimed and retired. What it has told of
// them holds, and nothing stays that nobody finds.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	told := map[string]string{} // by key, the last it told
	entries := map[string]blob.Entry{}
	for round := range 8 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), helperEnv+"="+dir, livesEnv+"=yes")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var e blob.Entry
			var what string
			_, _ = fmt.Sscan(lines.Text(), &what, &e.Key, &e.Size, &e.CRC32C) // a killed process's last line may be cut
			told[e.Key] = what
			if what == "claimed" {
				entries[e.Key] = e
			}
			if n == 10+round*7 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // It was killed.
	}
	stored, errs := all(t, d)
	for key, what := range told {
		_, err := read(t.Context(), d, entries[key])
		n, noteErr := d.Noted(t.Context(), key)
		switch {
		case what == "claimed" && (err != nil || stored[key].State != ""):
			t.Errorf("%s is claimed, and: %v, %+v", key, err, stored[key])
		case what == "retired" && (!errors.Is(err, blob.ErrMissing) || noteErr != nil || n.State != "delivered" || errs[key] != nil):
			t.Errorf("%s is retired, and: %v, %v, %+v", key, err, noteErr, n)
		case what == "retiring" && err != nil && (noteErr != nil || n.State != "delivered"):
			t.Errorf("%s is neither there nor delivered: %v, %v, %+v", key, err, noteErr, n)
		}
	}
	for key, err := range errs {
		if !errors.Is(err, blob.ErrMissing) {
			t.Errorf("%s: %v", key, err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	for _, name := range files(t, dir) {
		if err := os.Chtimes(filepath.Join(dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range unclaimed(t, d, "default") {
		if err := d.Delete(t.Context(), u.Key); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "default", "unclaimed", "*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// A Claim or Note that meets a Delete must not bring anything back.
func TestClaimAndDeleteAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	for range 50 {
		e := put(t, d, "default", voucher(10))
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := d.Claim(t.Context(), e.Key); err != nil && !errors.Is(err, blob.ErrMissing) {
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
