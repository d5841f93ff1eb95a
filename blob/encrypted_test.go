package blob_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/voucherd/voucherd/blob"
)

// newKeys makes a key pair, and gives both halves.
func newKeys(tb testing.TB) blob.Keys {
	tb.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		tb.Fatal(err)
	}
	return blob.Keys{Recipients: []age.Recipient{id.Recipient()}, Identities: []age.Identity{id}}
}

// What lies on the disk is not the voucher, and only a holder of an identity reads it.
func TestEncryptedIsReadByIdentityOnly(t *testing.T) {
	t.Parallel()
	dir := openDir(t, t.TempDir())
	keys := newKeys(t)
	want := bytes.Repeat([]byte("a voucher "), 20_000)
	e := put(t, blob.Encrypt(dir, blob.Keys{Recipients: keys.Recipients}), "one", want)
	mustClaim(t, dir, e)
	if e.SHA256 != sha(want) || e.Size != int64(len(want)) {
		t.Errorf("entry %+v is not of the plain bytes", e)
	}
	for s, err := range dir.All(t.Context()) {
		if kept, readErr := read(t.Context(), dir, s.Entry); err != nil || readErr != nil || bytes.Contains(kept, []byte("a voucher")) {
			t.Errorf("kept in plain: %v, %v", err, readErr)
		}
	}
	for what, other := range map[string]blob.Keys{
		"nothing": {}, "the recipient": {Recipients: keys.Recipients}, "another identity": newKeys(t),
	} {
		_, err := read(t.Context(), blob.Encrypt(dir, other), e)
		mustBeAway(t, "read with "+what, err)
		if !errors.Is(err, blob.ErrLocked) {
			t.Errorf("read with %s: %v", what, err)
		}
	}
	reader := blob.Encrypt(dir, blob.Keys{Identities: append(newKeys(t).Identities, keys.Identities...)})
	if got, err := read(t.Context(), reader, e); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	stored, errs := all(t, reader)
	if got := stored[e.Key]; len(errs) > 0 || got.Entry != e || got.Plain != nil {
		t.Errorf("all gives %+v, %v, want %+v", got, errs, e)
	}
	plain := put(t, dir, "one", want) // from before encryption
	if got, err := read(t.Context(), reader, plain); err != nil || !bytes.Equal(got, want) {
		t.Errorf("in plain: read %d bytes, %v", len(got), err)
	}
}

func TestEncryptedDamage(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	s := blob.Encrypt(openDir(t, path), newKeys(t))
	for _, at := range []int64{5, 100, 250, 100_000} { // header, stanza, and chunks
		e := put(t, s, "one", voucher(200_000))
		mustClaim(t, s, e)
		f, err := os.OpenFile(filesOf(path, "one", e.Key).claimed, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		_, readErr := f.ReadAt(b, at)
		b[0] ^= 1
		_, err = f.WriteAt(b, at)
		if err = errors.Join(readErr, err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t.Context(), s, e); !errors.Is(err, blob.ErrDamaged) || int64(len(got)) >= e.Size {
			t.Errorf("damaged at %d: read %d bytes, %v", at, len(got), err)
		}
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	keys := newKeys(t)
	for _, size := range []int{0, 1, 1000, 200_000} {
		want := voucher(size)
		for what, k := range map[string]blob.Keys{"plain": {}, "encrypted": keys} {
			kept, e, err := k.Seal(want)
			if err != nil || e.SHA256 != sha(want) || e.Size != int64(size) || (what == "plain") != bytes.Equal(kept, want) {
				t.Fatalf("%s: %d bytes, %+v, %v", what, len(kept), e, err)
			}
			half := len(kept) / 2
			r, err := keys.Unseal([]string{string(kept[:half]), string(kept[half:])}, e)
			if err != nil {
				t.Fatal(err)
			}
			if err = iotest.TestReader(r, want); err != nil {
				t.Errorf("%s, size %d: %v", what, size, err)
			}
			if r, err = keys.Unseal([]string{string(kept), "x"}, e); err == nil {
				_, err = io.ReadAll(r)
			}
			if !errors.Is(err, blob.ErrDamaged) {
				t.Errorf("%s with more behind it: %v", what, err)
			}
			if _, err = (blob.Keys{}).Unseal([]string{string(kept)}, e); errors.Is(err, blob.ErrLocked) != (what == "encrypted") {
				t.Errorf("%s without an identity: %v", what, err)
			}
		}
	}
}

func TestLockedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	if text := blob.ErrLocked.Error(); !strings.Contains(text, "VOUCHERD_IDENTITY_FILE") {
		t.Error(text)
	}
}
