package blob_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/voucherd/voucherd/blob"
)

// onDisk names a voucher's file in a directory store, before and after it is claimed.
type onDisk struct{ unclaimed, claimed string }

func filesOf(dir, account, key string) onDisk {
	return onDisk{
		unclaimed: filepath.Join(dir, account, "unclaimed", key),
		claimed:   filepath.Join(dir, account, "claimed", key),
	}
}

func mustClaim(tb testing.TB, v blob.Store, e blob.Entry) {
	tb.Helper()
	if err := v.Claim(tb.Context(), e.Key); err != nil {
		tb.Fatal(err)
	}
}

// all collects what All gives, by key.
func all(tb testing.TB, d blob.Store) (map[string]blob.Stored, map[string]error) {
	tb.Helper()
	stored, errs := map[string]blob.Stored{}, map[string]error{}
	for s, err := range d.All(tb.Context()) {
		if errors.Is(err, blob.ErrMissing) { // besides what is noted of it
			errs[s.Key] = err
			continue
		}
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
	mustClaim(t, d, claimed)
	put(t, d, "one", voucher(10)) // nobody was told that it was accepted
	rejected := put(t, d, "two", voucher(20))
	mustClaim(t, d, rejected)
	revived := put(t, d, "two", voucher(30))
	mustClaim(t, d, revived)
	gone := put(t, d, "two", voucher(40))
	mustClaim(t, d, gone)
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
		claimed.Key:  {Entry: claimed, Meta: meta},
		rejected.Key: {Entry: rejected, Meta: order("two"), Note: blob.Note{State: "rejected"}},
		revived.Key:  {Entry: revived, Meta: order("two")},
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
	other := put(t, d, "default", voucher(10))
	spoilt := map[string]bool{}
	for _, spoil := range []func(string) error{
		func(f string) error { return os.Truncate(f, 5) },
		func(f string) error { return os.Truncate(f, 40) },
		func(f string) error { return os.Truncate(f, 0) },
		func(f string) error {
			return os.WriteFile(f, []byte("0123456789\n{torn\nvoucherd:000000000000000a\n"), 0o600)
		},
		func(f string) error { return os.WriteFile(f, []byte("\nvoucherd:7fffffffffffffff\n"), 0o600) },
		func(f string) error {
			text, err := os.ReadFile(filesOf(dir, "default", other.Key).unclaimed)
			return errors.Join(err, os.WriteFile(f, text, 0o600)) //nolint:gosec // a test's own directory
		},
	} {
		e := put(t, d, "default", voucher(10))
		mustClaim(t, d, e)
		if err := spoil(filesOf(dir, "default", e.Key).claimed); err != nil {
			t.Fatal(err)
		}
		spoilt[e.Key] = true
	}
	fine := put(t, d, "default", voucher(11))
	mustClaim(t, d, fine)
	got, errs := all(t, d)
	if len(got) != len(spoilt)+1 || got[fine.Key].Entry != fine {
		t.Errorf("all: %+v", got)
	}
	for key := range spoilt {
		if !errors.Is(errs[key], blob.ErrDamaged) {
			t.Errorf("%v, want that it is damaged", errs[key])
		}
	}
	e := put(t, d, "default", voucher(12))
	mustClaim(t, d, e)
	newer := "012345678901\n" + `{"version":2,"key":"` + e.Key + `","size":12}` + "\nvoucherd:000000000000000c\n"
	if err := os.WriteFile(filesOf(dir, "default", e.Key).claimed, []byte(newer), 0o600); err != nil {
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
		"bit flipped": func(b []byte) []byte { b[150_000] ^= 1; return b },
		"cut":         func(b []byte) []byte { return b[:299_999] },
		"shifted":     func(b []byte) []byte { return append([]byte{0}, b...) },
		"empty":       func([]byte) []byte { return nil },
	} {
		want := voucher(300_000)
		e := put(t, d, "default", want)
		file := filesOf(dir, "default", e.Key).unclaimed
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, damage(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(t.Context(), d, e); !errors.Is(err, blob.ErrDamaged) || len(got) >= len(want) {
			t.Errorf("%s: gave %d bytes, %v", name, len(got), err)
		}
	}
}

// The last of many notes counts, however much was noted before, and whatever a crash cut off.
func TestLastNoteCounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	e := put(t, d, "default", []byte("\nvoucherd:0000000000000000\n"))
	mustClaim(t, d, e)
	for i := range 200 {
		n := blob.Note{State: "rejected" + strconv.Itoa(i), Result: json.RawMessage(`"some text that takes up room"`)}
		if err := d.Note(t.Context(), e.Key, n); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filesOf(dir, "default", e.Key).claimed, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range []string{"\n{\"state\":\"x", "\n{}\nvoucherd:00"} {
		if _, err = f.WriteString(torn); err != nil {
			t.Fatal(err)
		}
		if n, noteErr := d.Noted(t.Context(), e.Key); noteErr != nil || torn[2] != '}' && n.State != "rejected199" {
			t.Errorf("noted %+v, %v", n, noteErr)
		}
	}
	if err = f.Close(); err != nil {
		t.Fatal(err)
	}
	if err = d.Note(t.Context(), e.Key, blob.Note{State: "expired"}); err != nil {
		t.Fatal(err)
	}
	if got, errs := all(t, d); len(errs) != 0 || got[e.Key].State != "expired" || got[e.Key].Entry != e {
		t.Errorf("all: %+v, %v", got, errs)
	}
	if got, err := read(t.Context(), d, e); err != nil || int64(len(got)) != e.Size {
		t.Errorf("read %q, %v", got, err)
	}
}
