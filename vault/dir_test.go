package vault_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/voucherd/voucherd/vault"
)

// onDisk names a voucher's files in a directory vault.
type onDisk struct{ voucher, claimed, unclaimed string }

func filesOf(dir, lane, key string) onDisk {
	shard := strings.TrimPrefix(key, lane+"-")[:2]
	return onDisk{
		voucher:   filepath.Join(dir, lane, shard, key),
		claimed:   filepath.Join(dir, lane, shard, key+".json"),
		unclaimed: filepath.Join(dir, lane, "unclaimed", key+".json"),
	}
}

func mustClaim(tb testing.TB, v vault.Vault, e vault.Entry, upload string) {
	tb.Helper()
	if err := v.Claim(tb.Context(), e.Key, upload); err != nil {
		tb.Fatal(err)
	}
}

// all collects what All gives, by key.
func all(tb testing.TB, d *vault.Dir) (map[string]vault.Stored, map[string]error) {
	tb.Helper()
	stored, errs := map[string]vault.Stored{}, map[string]error{}
	for s, err := range d.All(tb.Context()) {
		if _, twice := stored[s.Key]; twice {
			tb.Errorf("%q was given twice", s.Key)
		}
		stored[s.Key] = s
		if err != nil {
			errs[s.Key] = err
		}
	}
	return stored, errs
}

func TestAllTellsWhatIsUndelivered(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	meta := vault.Meta{Lane: "one", OrderID: "o", UserID: "u", Reference: "r", MediaType: "image/png"}
	claimed, err := d.Put(t.Context(), meta, strings.NewReader("claimed"))
	if err != nil {
		t.Fatal(err)
	}
	mustClaim(t, d, claimed, "upload-1")
	open := put(t, d, "one", voucher(10))
	rejected := put(t, d, "two", voucher(20))
	mustClaim(t, d, rejected, "upload-2")
	revived := put(t, d, "two", voucher(30))
	mustClaim(t, d, revived, "upload-3")
	gone := put(t, d, "two", voucher(40))
	mustClaim(t, d, gone, "upload-4")
	for key, state := range map[string]string{rejected.Key: "rejected", revived.Key: "rejected"} {
		if err := d.Note(t.Context(), key, state); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Note(t.Context(), revived.Key, ""); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), gone.Key); err != nil {
		t.Fatal(err)
	}
	got, errs := all(t, d)
	if len(errs) != 0 {
		t.Errorf("errors: %v", errs)
	}
	order := func(lane string) vault.Meta { return vault.Meta{Lane: lane, OrderID: "1000"} }
	want := map[string]vault.Stored{
		claimed.Key:  {Entry: claimed, Meta: meta, UploadID: "upload-1"},
		open.Key:     {Entry: open, Meta: order("one")},
		rejected.Key: {Entry: rejected, Meta: order("two"), UploadID: "upload-2", State: "rejected"},
		revived.Key:  {Entry: revived, Meta: order("two"), UploadID: "upload-3"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(vault.Stored{}, "PutAt")); diff != "" {
		t.Error(diff)
	}
	for key, s := range got {
		if age := time.Since(s.PutAt); age < -time.Minute || age > time.Minute {
			t.Errorf("%s was put at %v", key, s.PutAt)
		}
	}
	for range d.All(t.Context()) { // Leaving early is fine.
		break
	}
}

func TestAllReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	spoilt := map[string]error{}
	for _, c := range []struct {
		want  error
		spoil func(onDisk) error
	}{
		{vault.ErrMissing, func(f onDisk) error { return os.Remove(f.voucher) }},
		{vault.ErrDamaged, func(f onDisk) error { return os.Remove(f.claimed) }},
		{vault.ErrDamaged, func(f onDisk) error { return os.Truncate(f.voucher, 5) }},
		{vault.ErrDamaged, func(f onDisk) error { return os.WriteFile(f.claimed, []byte("{torn"), 0o600) }},
	} {
		e := put(t, d, "default", voucher(10))
		mustClaim(t, d, e, "upload")
		if err := c.spoil(filesOf(dir, "default", e.Key)); err != nil {
			t.Fatal(err)
		}
		spoilt[e.Key] = c.want
	}
	fine := put(t, d, "default", voucher(11))
	mustClaim(t, d, fine, "upload-x")
	got, errs := all(t, d)
	if len(got) != len(spoilt)+1 || got[fine.Key].UploadID != "upload-x" {
		t.Errorf("all: %+v", got)
	}
	for key, want := range spoilt {
		if !errors.Is(errs[key], want) {
			t.Errorf("%v, want %v", errs[key], want)
		}
	}
	e := put(t, d, "default", voucher(12))
	mustClaim(t, d, e, "upload")
	newer := []byte(`{"version":2,"key":"` + e.Key + `"}`)
	if err := os.WriteFile(filesOf(dir, "default", e.Key).claimed, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range d.All(t.Context()) {
		last = err
	}
	mustBeAway(t, "metadata of a newer version", last)
}

func TestDirVoucherDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	for name, damage := range map[string]func([]byte) []byte{
		"bit flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":         func(b []byte) []byte { return b[:len(b)-1] },
		"longer":      func(b []byte) []byte { return append(b, 0) },
		"empty":       func([]byte) []byte { return nil },
	} {
		want := voucher(300_000)
		e := put(t, d, "default", want)
		if err := os.WriteFile(filesOf(dir, "default", e.Key).voucher, damage(bytes.Clone(want)), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t.Context(), d, e); !errors.Is(err, vault.ErrDamaged) || len(got) >= len(want) {
			t.Errorf("%s: gave %d bytes, %v", name, len(got), err)
		}
	}
}

func TestClaimByAnotherUploadIsRefused(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	e := put(t, d, "default", voucher(10))
	mustClaim(t, d, e, "upload-1")
	mustBeAway(t, "second claim", d.Claim(t.Context(), e.Key, "upload-2"))
	if got, _ := all(t, d); got[e.Key].UploadID != "upload-1" {
		t.Errorf("claimed by %q", got[e.Key].UploadID)
	}
	open := put(t, d, "default", voucher(11))
	if err := d.Note(t.Context(), open.Key, "rejected"); !errors.Is(err, vault.ErrMissing) {
		t.Errorf("note on an unclaimed voucher: %v", err)
	}
}

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
			if err := d.Claim(t.Context(), e.Key, "u"); err != nil && !errors.Is(err, vault.ErrMissing) {
				t.Error(err)
			}
			if err := d.Note(t.Context(), e.Key, "rejected"); err != nil && !errors.Is(err, vault.ErrMissing) {
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

func TestEndOfReaderIsTold(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	e := put(t, d, "default", voucher(10))
	r, err := d.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	buf := make([]byte, 10)
	if n, err := r.Read(buf); n != 10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for range 2 {
		if n, err := r.Read(buf); n != 0 || err != io.EOF { //nolint:errorlint // Plain io.EOF is what readers promise.
			t.Errorf("%d, %v", n, err)
		}
	}
	if n, err := r.Read(nil); n != 0 || err != io.EOF { //nolint:errorlint // As above.
		t.Errorf("%d, %v", n, err)
	}
}
