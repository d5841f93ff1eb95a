package blob_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/blob"
)

// No key may lead a directory blob store out of its directory.
func FuzzKey(f *testing.F) {
	letters := strings.Repeat("a", 26)
	for _, seed := range []string{
		"", "default-" + letters, "../" + letters, "..-" + letters, "a/../../x-" + letters, "a\\b-" + letters,
		"-" + letters, "--" + letters, strings.Repeat("x", 33) + "-" + letters, "default-" + letters[:25] + "1",
		"default-../../../../outside/precious", "unclaimed-" + letters, "A-" + letters, "a\x00-" + letters,
	} {
		f.Add(seed)
	}
	parent := f.TempDir()
	dir, precious := filepath.Join(parent, "store"), filepath.Join(parent, "precious")
	if err := os.Mkdir(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		f.Fatal(err)
	}
	d := openDir(f, dir)
	valid := regexp.MustCompile(`^[a-z0-9-]{1,32}-[a-z2-7]{26}\z`)
	f.Fuzz(func(t *testing.T, key string) {
		_, openErr := d.Open(t.Context(), blob.Entry{Key: key})
		deleteErr := d.Delete(t.Context(), key)
		for _, err := range []error{openErr, d.Claim(t.Context(), key), d.Note(t.Context(), key, blob.Note{State: "s"})} {
			if !errors.Is(err, blob.ErrMissing) {
				t.Errorf("%q: %v", key, err)
			}
		}
		if (deleteErr == nil) != valid.MatchString(key) {
			t.Errorf("delete %q: %v", key, deleteErr)
		}
		if _, err := os.Stat(precious); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
	})
}

// Whatever lies behind a voucher's bytes, reading it neither panics nor invents a voucher, and what
// All and Unclaimed give has the file's own key.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"version":1,"key":"other","size":-1}`, `{"version":2}`, `{"version":1,"size":1e99}`,
		`{"version":1,"putAt":"yesterday"}`, `{"version":1,"uploadId":7}`,
	} {
		f.Add([]byte(seed))
		f.Add([]byte("12345\n" + seed + "\nvoucherd:0000000000000005\n"))
	}
	dir := f.TempDir()
	d := openDir(f, dir)
	claimed, open := put(f, d, "claimed", voucher(5)), put(f, d, "open", voucher(6))
	mustClaim(f, d, claimed)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, name := range []string{
			filesOf(dir, "claimed", claimed.Key).claimed, filesOf(dir, "open", open.Key).unclaimed,
		} {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for s, err := range d.All(t.Context()) {
			if s.Key != claimed.Key && err == nil {
				t.Errorf("key %q", s.Key)
			}
		}
		found, err := d.Unclaimed(t.Context(), "open", 0, 10)
		if err == nil && len(found) > 0 && (len(found) != 1 || found[0].Key != open.Key) {
			t.Errorf("unclaimed %+v", found)
		}
	})
}
