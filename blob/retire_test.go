package blob_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
)

// retiredFiles are the files of notes of retired vouchers.
func retiredFiles(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "delivered", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRetire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	e := put(t, d, "one", voucher(10))
	mustClaim(t, d, e)
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
	if s := stored[e.Key]; len(errs) > 0 || s.State != "delivered" || s.OrderID != "1000" || string(s.Result) != string(result) {
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
	retire := func(e blob.Entry) {
		mustClaim(t, d, e)
		if err := d.Retire(t.Context(), blob.Retired{Key: e.Key}); err != nil {
			t.Fatal(err)
		}
	}
	retire(old)
	ago := filepath.Join(dir, "one", "delivered", time.Now().UTC().Add(-5*time.Hour).Format("2006010215")+"-x")
	if err := os.Rename(retiredFiles(t, dir)[0], ago); err != nil {
		t.Fatal(err)
	}
	retire(fresh)
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
	if left := retiredFiles(t, dir); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
}

// Notes are found among many, in files larger than what is read at once.
func TestManyRetired(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	var batch []blob.Retired
	for i := range 300 {
		e := put(t, d, "one", voucher(1+i%3))
		mustClaim(t, d, e)
		text := []byte(`"` + strings.Repeat("x", i*10) + `"`)
		batch = append(batch, blob.Retired{Key: e.Key, Result: text})
	}
	for len(batch) > 0 {
		n := min(7, len(batch))
		if err := d.Retire(t.Context(), batch[:n]...); err != nil {
			t.Fatal(err)
		}
		for _, v := range batch[:n] {
			if got, err := d.Noted(t.Context(), v.Key); err != nil || !bytes.Equal(got.Result, v.Result) {
				t.Errorf("noted %+v, %v", got, err)
			}
		}
		batch = batch[n:]
	}
	if got, errs := all(t, d); len(got) != 300 || len(errs) != 0 {
		t.Errorf("all: %d, %v", len(got), errs)
	}
}

// What a crash cuts off: the notes themselves, and the vouchers that were to go once they were
// written.
func TestRetireCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	torn, left, next := put(t, d, "one", voucher(10)), put(t, d, "one", voucher(20)), put(t, d, "one", voucher(30))
	for _, e := range []blob.Entry{torn, left, next} {
		mustClaim(t, d, e)
	}
	kept, err := os.ReadFile(filesOf(dir, "one", left.Key).claimed)
	if err != nil {
		t.Fatal(err)
	}
	if err = d.Retire(t.Context(), blob.Retired{Key: left.Key}); err != nil {
		t.Fatal(err)
	}
	if err = os.WriteFile(filesOf(dir, "one", left.Key).claimed, kept, 0o600); err != nil { //nolint:gosec // a test's own directory
		t.Fatal(err)
	}
	notes, err := os.OpenFile(retiredFiles(t, dir)[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = notes.WriteString(`{"version":1,"key":"` + torn.Key + `","state":"deliv`); err != nil {
		t.Fatal(err)
	}
	if err = notes.Close(); err != nil {
		t.Fatal(err)
	}
	if n, noteErr := d.Noted(t.Context(), torn.Key); noteErr != nil || n.State != "" {
		t.Errorf("noted %+v, %v: want a torn note to be none", n, noteErr)
	}
	if err = d.Retire(t.Context(), blob.Retired{Key: next.Key}); err != nil {
		t.Fatal(err)
	}
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
	want := map[string]int{
		torn.Key + " ": 1, left.Key + " is a leftover": 1, left.Key + " delivered": 1, next.Key + " delivered": 1,
	}
	if !maps.Equal(told, want) {
		t.Errorf("all tells %v, want %v", told, want)
	}
}
