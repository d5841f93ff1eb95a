package blob_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
)

// retiredFile finds the note of a retired voucher.
func retiredFile(t *testing.T, dir, key string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "delivered", "*", key+".json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("notes of %s: %v, %v", key, found, err)
	}
	return found[0]
}

func TestRetire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	e := put(t, d, "one", voucher(10))
	mustClaim(t, d, e, "upload")
	result := json.RawMessage(`{"requestId":"r"}`)
	for range 2 { // as often as one likes
		if err := d.Retire(t.Context(), blob.Retired{Key: e.Key, Result: result}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Open(t.Context(), e); !errors.Is(err, blob.ErrMissing) {
		t.Errorf("open what was retired: %v", err)
	}
	n, err := d.Noted(t.Context(), e.Key)
	if err != nil || n.State != "delivered" || string(n.Result) != string(result) {
		t.Errorf("noted %+v, %v", n, err)
	}
	stored, errs := all(t, d)
	if s := stored[e.Key]; len(errs) > 0 || s.State != "delivered" || s.UploadID != "upload" || s.OrderID != "1000" || string(s.Result) != string(result) {
		t.Errorf("all: %+v, %v", s, errs)
	}
	if err := d.Delete(t.Context(), e.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Noted(t.Context(), e.Key); err != nil {
		t.Errorf("deleting the bytes took the note: %v", err)
	}
}

func TestForgetRetired(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	fresh, old := put(t, d, "one", voucher(10)), put(t, d, "one", voucher(20))
	for _, e := range []blob.Entry{fresh, old} {
		mustClaim(t, d, e, "upload")
		if err := d.Retire(t.Context(), blob.Retired{Key: e.Key}); err != nil {
			t.Fatal(err)
		}
	}
	ago := filepath.Join(dir, "one", "delivered", time.Now().UTC().Add(-5*time.Hour).Format("2006010215"))
	if err := os.Mkdir(ago, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(retiredFile(t, dir, old.Key), filepath.Join(ago, old.Key+".json")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Noted(t.Context(), old.Key); err != nil {
		t.Errorf("an older note is not found: %v", err)
	}
	for range 2 {
		if err := d.ForgetRetired(t.Context(), "one", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Noted(t.Context(), fresh.Key); err != nil {
		t.Errorf("a fresh note: %v", err)
	}
	if _, err := d.Noted(t.Context(), old.Key); !errors.Is(err, blob.ErrMissing) {
		t.Errorf("an old note: %v", err)
	}
	if _, err := os.Stat(ago); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

// What a crash cuts off: the note itself, and the bytes that were to go once it was written.
func TestRetireCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	torn, left := put(t, d, "one", voucher(10)), put(t, d, "one", voucher(20))
	mustClaim(t, d, torn, "upload-1")
	mustClaim(t, d, left, "upload-2")
	metadata := filepath.Join(dir, "one", torn.Key[4:6], torn.Key+".json")
	record, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) {
		t.Helper()
		if werr := os.WriteFile(name, text, 0o600); werr != nil { //nolint:gosec // a test's own directory
			t.Fatal(werr)
		}
	}
	write(metadata, append(record, `{"state":"deliv`...))
	n, err := d.Noted(t.Context(), torn.Key)
	if err != nil || n.State != "" {
		t.Errorf("noted %+v, %v: want a torn note to be none", n, err)
	}
	bytes := filepath.Join(dir, "one", left.Key[4:6], left.Key)
	kept, err := os.ReadFile(bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Retire(t.Context(), blob.Retired{Key: left.Key}); err != nil {
		t.Fatal(err)
	}
	write(bytes, kept)
	told := map[string]int{}
	for s, err := range d.All(t.Context()) {
		switch {
		case errors.Is(err, blob.ErrMissing):
			told[s.Key+" is a leftover"]++
		case err != nil:
			t.Error(err)
		default:
			told[s.Key+" "+s.State]++
		}
	}
	want := map[string]int{torn.Key + " ": 1, left.Key + " is a leftover": 1, left.Key + " delivered": 1}
	if !maps.Equal(told, want) {
		t.Errorf("all tells %v, want %v", told, want)
	}
}
