package blob_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/voucherd/voucherd/blob"
)

func TestOneMarkerForAllWhoStartAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := t.TempDir()
		ids := make([]string, 8)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				d, err := blob.OpenDir(t.Context(), dir)
				if err != nil {
					t.Error(err)
					return
				}
				ids[i], err = d.Identity(t.Context())
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("identities %q", ids)
			}
		}
		if left := files(t, dir); len(left) != 0 {
			t.Fatalf("left: %q", left)
		}
	}
}

func TestMarkerIsMadeOnlyInAnEmptyDirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(dir string) error
		want string // in the error; empty: opens
	}{
		"empty":                 {func(string) error { return nil }, ""},
		"fresh file system":     {func(d string) error { return os.Mkdir(filepath.Join(d, "lost+found"), 0o700) }, ""},
		"cut-off start":         {func(d string) error { return write(d, "STORE.abc.tmp", "{") }, ""},
		"some file":             {func(d string) error { return write(d, "holiday.jpg", "x") }, "is the right disk mounted?"},
		"blob store, no marker": {func(d string) error { return os.Mkdir(filepath.Join(d, "default"), 0o700) }, "is the right disk mounted?"},
		"good marker":           {func(d string) error { return write(d, "STORE", `{"version":1,"id":"abc"}`) }, ""},
		"torn marker":           {func(d string) error { return write(d, "STORE", `{"vers`) }, "marker"},
		"marker without id":     {func(d string) error { return write(d, "STORE", `{"version":1}`) }, "names no id"},
		"newer marker":          {func(d string) error { return write(d, "STORE", `{"version":2,"id":"abc"}`) }, "use a newer one"},
		"marker is a dir":       {func(d string) error { return os.Mkdir(filepath.Join(d, "STORE"), 0o700) }, "marker"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			_, err := blob.OpenDir(t.Context(), dir)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func write(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
}

// Whatever takes the blob store's place, no call blames a voucher for it, and none writes there.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(dir string) error{
		"unmounted: the bare mount point": func(dir string) error { return os.Mkdir(dir, 0o700) },
		"gone":                            func(string) error { return nil },
		"a file":                          func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"a link that leads nowhere":       func(dir string) error { return os.Symlink(dir+"-nowhere", dir) },
		"another blob store": func(dir string) error {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return write(dir, "STORE", `{"version":1,"id":"another"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			d := openDir(t, dir)
			e := put(t, d, "default", voucher(1000))
			if err := os.Rename(dir, dir+"-away"); err != nil {
				t.Fatal(err)
			}
			if err := replace(dir); err != nil {
				t.Fatal(err)
			}
			mustAllBeAway(t, d, e)
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				if found := files(t, dir); len(found) != 0 {
					t.Errorf("written to what is not the blob store: %q", found)
				}
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(dir+"-away", dir); err != nil {
				t.Fatal(err)
			}
			if got, err := read(t.Context(), d, e); err != nil || len(got) != 1000 {
				t.Errorf("when it is back: %d bytes, %v", len(got), err)
			}
			mustClaim(t, d, e)
		})
	}
}

func mustAllBeAway(t *testing.T, d *blob.Dir, e blob.Entry) {
	t.Helper()
	_, err := d.Open(t.Context(), e)
	mustBeAway(t, "open", err)
	_, err = d.Put(t.Context(), blob.Meta{Account: "default"}, strings.NewReader("x"))
	mustBeAway(t, "put", err)
	_, err = d.Unclaimed(t.Context(), "default", 0, 10)
	mustBeAway(t, "unclaimed", err)
	_, err = d.Identity(t.Context())
	mustBeAway(t, "identity", err)
	mustBeAway(t, "claim", d.Claim(t.Context(), e.Key))
	mustBeAway(t, "note", d.Note(t.Context(), e.Key, blob.Note{State: "rejected"}))
	mustBeAway(t, "delete", d.Delete(t.Context(), e.Key))
	mustBeAway(t, "check", d.Check(t.Context()))
	for _, err := range d.All(t.Context()) {
		mustBeAway(t, "all", err)
	}
}

// Directories that someone removed by hand are made again.
func TestRemovedDirectoriesComeBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	put(t, d, "default", voucher(1))
	if err := os.RemoveAll(filepath.Join(dir, "default")); err != nil {
		t.Fatal(err)
	}
	until(t, "put works again", func() bool {
		_, err := d.Put(t.Context(), blob.Meta{Account: "default"}, io.LimitReader(strings.NewReader("x"), 1))
		return err == nil
	})
}
