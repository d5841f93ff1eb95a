package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestWhatIsPutIsRead(t *testing.T) {
	t.Parallel()
	const chunk = 256<<10 - 24
	sizes := []int{0, 1, 2 << 10, 200 << 10, chunk - 1, chunk, chunk + 1, 256 << 10, 2 * chunk, 1 << 20, 3<<20 + 12345}
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			for _, size := range sizes {
				want := voucher(size)
				e := put(t, v, account, want)
				if e.Size != int64(size) || e.SHA256 != sha(want) {
					t.Errorf("size %d: entry %+v", size, e)
				}
				if !regexp.MustCompile(`^` + account + `-[a-z2-7]{26}$`).MatchString(e.Key) {
					t.Errorf("key %q", e.Key)
				}
				got, err := read(t.Context(), v, e)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("size %d: read %d bytes, %v", size, len(got), err)
				}
			}
		})
	}
}

func TestOddReaders(t *testing.T) {
	t.Parallel()
	want := voucher(70_000)
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
				e, err := v.Put(t.Context(), blob.Meta{Account: account}, wrap(bytes.NewReader(want)))
				if err != nil {
					t.Fatal(err)
				}
				r, err := v.Open(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(r, want); err != nil {
					t.Error(err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A reader's error must not pass for the end of a voucher, whatever it is.
func TestReaderErrorLeavesNothing(t *testing.T) {
	t.Parallel()
	faults := []error{errors.New("cut off"), io.ErrUnexpectedEOF, fmt.Errorf("connection: %w", io.EOF)}
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			for _, fault := range faults {
				for _, before := range []int{0, 1000, 600_000} {
					r := io.MultiReader(bytes.NewReader(voucher(before)), iotest.ErrReader(fault))
					e, err := v.Put(t.Context(), blob.Meta{Account: account}, r)
					if !errors.Is(err, fault) || e != (blob.Entry{}) {
						t.Errorf("%v after %d bytes: %+v, %v", fault, before, e, err)
					}
				}
			}
			if found := unclaimed(t, v, account); len(found) != 0 {
				t.Errorf("left behind: %+v", found)
			}
			for s, err := range v.All(t.Context()) {
				t.Errorf("left behind: %+v, %v", s, err)
			}
		})
	}
}

func TestCancelledPutLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop := readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
			r := io.MultiReader(bytes.NewReader(voucher(600_000)), stop)
			if _, err := v.Put(ctx, blob.Meta{Account: account}, r); !errors.Is(err, context.Canceled) {
				t.Errorf("put: %v", err)
			}
			if found := unclaimed(t, v, account); len(found) != 0 {
				t.Errorf("left behind: %+v", found)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestClaimedVouchersAreNotListed(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			meta := blob.Meta{Account: account, OrderID: "o", UserID: "u", Reference: "r", MediaType: "image/png"}
			e, err := v.Put(t.Context(), meta, strings.NewReader("bytes"))
			if err != nil {
				t.Fatal(err)
			}
			other := put(t, v, redistest.Account(t), voucher(10))
			found := unclaimed(t, v, account)
			if len(found) != 1 {
				t.Fatalf("unclaimed: %+v", found)
			}
			if found[0].Age < 0 || found[0].Age > time.Minute {
				t.Errorf("age %v", found[0].Age)
			}
			found[0].Age = 0
			if diff := cmp.Diff(blob.Unclaimed{Entry: e, Meta: meta}, found[0]); diff != "" {
				t.Error(diff)
			}
			if young, err := v.Unclaimed(t.Context(), account, time.Hour, 100); err != nil || len(young) != 0 {
				t.Errorf("older than an hour: %+v, %v", young, err)
			}
			for range 2 {
				if err := v.Claim(t.Context(), e.Key); err != nil {
					t.Fatal(err)
				}
			}
			if found := unclaimed(t, v, account); len(found) != 0 {
				t.Errorf("unclaimed after the claim: %+v", found)
			}
			if got, err := read(t.Context(), v, e); err != nil || string(got) != "bytes" {
				t.Errorf("after the claim: %q, %v", got, err)
			}
			if err := v.Claim(t.Context(), other.Key); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnclaimedKeepsItsLimit(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			for range 5 {
				put(t, v, account, voucher(1))
			}
			for limit, want := range map[int]int{-1: 0, 0: 0, 2: 2, 5: 5, 6: 5} {
				found, err := v.Unclaimed(t.Context(), account, 0, limit)
				if err != nil || len(found) != want {
					t.Errorf("limit %d: %d found, %v", limit, len(found), err)
				}
			}
			for _, account := range []string{"never-used", "Not A Account", ""} {
				if found, err := v.Unclaimed(t.Context(), account, 0, 10); err != nil || len(found) != 0 {
					t.Errorf("account %q: %+v, %v", account, found, err)
				}
			}
		})
	}
}

func TestDeletedMeansMissing(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			for _, claimed := range []bool{false, true} {
				e := put(t, v, account, voucher(300_000))
				if claimed {
					if err := v.Claim(t.Context(), e.Key); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 {
					if err := v.Delete(t.Context(), e.Key); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := v.Open(t.Context(), e); !errors.Is(err, blob.ErrMissing) {
					t.Errorf("open: %v", err)
				}
				if err := v.Claim(t.Context(), e.Key); !errors.Is(err, blob.ErrMissing) {
					t.Errorf("claim: %v", err)
				}
				if found := unclaimed(t, v, account); len(found) != 0 {
					t.Errorf("unclaimed: %+v", found)
				}
			}
		})
	}
}

func TestBadAccountsAndKeysAreRefused(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, _ := open(t)
			for _, account := range []string{"", "A", "a/b", "..", "a b", "ä", "a\x00", strings.Repeat("a", 33)} {
				if _, err := v.Put(t.Context(), blob.Meta{Account: account}, strings.NewReader("x")); err == nil {
					t.Errorf("account %q was accepted", account)
				}
			}
			for _, key := range []string{"", "a", "../../etc/passwd", "default-short", "-" + strings.Repeat("a", 26)} {
				refuseKey(t, v, key)
			}
		})
	}
}

// refuseKey asks that every method treats what is no key as a voucher that does not exist.
func refuseKey(tb testing.TB, v blob.Store, key string) {
	tb.Helper()
	_, openErr := v.Open(tb.Context(), blob.Entry{Key: key})
	for what, err := range map[string]error{
		"open":   openErr,
		"claim":  v.Claim(tb.Context(), key),
		"delete": v.Delete(tb.Context(), key),
		"note":   v.Note(tb.Context(), key, blob.Note{State: "rejected"}),
	} {
		if !errors.Is(err, blob.ErrMissing) {
			tb.Errorf("%s %q: %v", what, key, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					want := voucher(i * 40_000)
					e, err := v.Put(t.Context(), blob.Meta{Account: account}, bytes.NewReader(want))
					if err != nil {
						t.Error(err)
						return
					}
					var claims sync.WaitGroup
					for range 4 {
						claims.Go(func() {
							if err := v.Claim(t.Context(), e.Key); err != nil {
								t.Error(err)
							}
						})
					}
					claims.Wait()
					if got, err := read(t.Context(), v, e); err != nil || !bytes.Equal(got, want) {
						t.Errorf("read %d of %d bytes, %v", len(got), len(want), err)
					}
					if err := v.Delete(t.Context(), e.Key); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if found := unclaimed(t, v, account); len(found) != 0 {
				t.Errorf("unclaimed: %+v", found)
			}
		})
	}
}

func TestCheckAndIdentity(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, _ := open(t)
			if err := v.Check(t.Context()); err != nil {
				t.Error(err)
			}
			first, err := v.Identity(t.Context())
			second, err2 := v.Identity(t.Context())
			if err != nil || err2 != nil || first == "" || first != second {
				t.Errorf("identity %q and %q, %v, %v", first, second, err, err2)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenBySetting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rdb := redistest.Client(t)
	for _, good := range []string{"redis:", "file://" + dir, "file:" + dir + "/"} {
		v, err := blob.Open(t.Context(), good, rdb)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		if err := v.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"":                               "unknown kind",
		"/var/lib/store":                 "unknown kind",
		"redis://:hunter2@host/0":        "redis: alone",
		"s3://key:hunter2@bucket/x":      "AWS_ACCESS_KEY_ID",
		"s3:hunter2":                     "s3://bucket/prefix",
		"s3://bucket?endpoint=hunter2":   "s3://bucket/prefix",
		"s3://bucket?hunter2=x":          "s3://bucket/prefix",
		"file://hunter2/dir":             "three slashes",
		"file:hunter2":                   "three slashes",
		"file:///hunter2?x=1":            "three slashes",
		"file:///%zzhunter2":             "invalid URL escape",
		"file://" + dir + "/not-there":   "does not exist",
		"file://" + dir + "/STORE":       "not a directory",
		"ftp://hunter2@host/not/a/thing": "unknown kind",
	} {
		_, err := blob.Open(t.Context(), bad, rdb)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2@") {
			t.Errorf("%q: %v, want %q", bad, err, want)
		}
	}
	if _, err := blob.Open(t.Context(), "redis:", nil); err == nil {
		t.Error("a blob store in Redis without a client was opened")
	}
}
