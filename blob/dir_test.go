package blob_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/voucherd/voucherd/blob"
)

// onDisk names a voucher's files in a directory store.
type onDisk struct{ voucher, claimed, unclaimed string }

func filesOf(dir, account, key string) onDisk {
	shard := strings.TrimPrefix(key, account+"-")[:2]
	return onDisk{
		voucher:   filepath.Join(dir, account, shard, key),
		claimed:   filepath.Join(dir, account, shard, key+".json"),
		unclaimed: filepath.Join(dir, account, "unclaimed", key+".json"),
	}
}

func mustClaim(tb testing.TB, v blob.Store, e blob.Entry, upload string) {
	tb.Helper()
	if err := v.Claim(tb.Context(), e.Key, upload); err != nil {
		tb.Fatal(err)
	}
}

// all collects what All gives, by key.
func all(tb testing.TB, d *blob.Dir) (map[string]blob.Stored, map[string]error) {
	tb.Helper()
	stored, errs := map[string]blob.Stored{}, map[string]error{}
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
	meta := blob.Meta{Account: "one", OrderID: "o", UserID: "u", Reference: "r", MediaType: "image/png"}
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
		if err := d.Note(t.Context(), key, blob.Note{State: state}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Note(t.Context(), revived.Key, blob.Note{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), gone.Key); err != nil {
		t.Fatal(err)
	}
	got, errs := all(t, d)
	if len(errs) != 0 {
		t.Errorf("errors: %v", errs)
	}
	order := func(account string) blob.Meta { return blob.Meta{Account: account, OrderID: "1000"} }
	want := map[string]blob.Stored{
		claimed.Key:  {Entry: claimed, Meta: meta, UploadID: "upload-1"},
		open.Key:     {Entry: open, Meta: order("one")},
		rejected.Key: {Entry: rejected, Meta: order("two"), UploadID: "upload-2", Note: blob.Note{State: "rejected"}},
		revived.Key:  {Entry: revived, Meta: order("two"), UploadID: "upload-3"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(blob.Stored{}, "PutAt")); diff != "" {
		t.Error(diff)
	}
	for key, s := range got {
		if age := time.Since(s.PutAt); age < -time.Minute || age > time.Minute {
			t.Errorf("%s was put at %v", key, s.PutAt)
		}
	}
	given := 0
	for _, err := range d.All(t.Context()) {
		given++
		if err != nil {
			t.Error(err)
		}
		break
	}
	if given != 1 {
		t.Errorf("left after one, given %d", given)
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
		{blob.ErrMissing, func(f onDisk) error { return os.Remove(f.voucher) }},
		{blob.ErrDamaged, func(f onDisk) error { return os.Remove(f.claimed) }},
		{blob.ErrDamaged, func(f onDisk) error { return os.Truncate(f.voucher, 5) }},
		{blob.ErrDamaged, func(f onDisk) error { return os.WriteFile(f.claimed, []byte("{torn"), 0o600) }},
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
		if got, err := read(t.Context(), d, e); !errors.Is(err, blob.ErrDamaged) || len(got) >= len(want) {
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
	if err := d.Note(t.Context(), open.Key, blob.Note{State: "rejected"}); !errors.Is(err, blob.ErrMissing) {
		t.Errorf("note on an unclaimed voucher: %v", err)
	}
}
