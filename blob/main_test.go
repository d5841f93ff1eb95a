package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/test/redistest"
	"github.com/voucherd/voucherd/test/s3test"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helper())
	}
	os.Exit(redistest.Main(m))
}

const week = 7 * 24 * time.Hour

// blob stores are all kinds of blob store, each with an account of the test's own.
func stores() map[string]func(*testing.T) (blob.Store, string) {
	return map[string]func(*testing.T) (blob.Store, string){
		"redis": func(t *testing.T) (blob.Store, string) {
			t.Helper()
			return blob.NewRedis(redistest.Client(t)), redistest.Account(t)
		},
		"dir": func(t *testing.T) (blob.Store, string) {
			t.Helper()
			return openDir(t, t.TempDir()), redistest.Account(t)
		},
		"encrypted redis": func(t *testing.T) (blob.Store, string) {
			t.Helper()
			return blob.Encrypt(blob.NewRedis(redistest.Client(t)), newKeys(t)), redistest.Account(t)
		},
		"encrypted dir": func(t *testing.T) (blob.Store, string) {
			t.Helper()
			return blob.Encrypt(openDir(t, t.TempDir()), newKeys(t)), redistest.Account(t)
		},
		"encrypted s3": func(t *testing.T) (blob.Store, string) {
			t.Helper()
			return blob.Encrypt(openS3(t, s3test.Start(t)), newKeys(t)), redistest.Account(t)
		},
		"s3": func(t *testing.T) (blob.Store, string) {
			t.Helper()
			return openS3(t, s3test.Start(t)), redistest.Account(t)
		},
	}
}

func openDir(tb testing.TB, path string) *blob.Dir {
	tb.Helper()
	d, err := blob.OpenDir(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func openS3(tb testing.TB, server *s3test.Server) *blob.S3 {
	tb.Helper()
	s, err := blob.OpenS3(tb.Context(), server.Setting("pre/fix"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// voucher makes bytes that no compression and no accident brings about twice.
func voucher(size int) []byte {
	b := make([]byte, size)
	var seed [32]byte
	binary.PutVarint(seed[:], int64(size))
	_, _ = rand.NewChaCha8(seed).Read(b) // It never fails.
	return b
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func put(tb testing.TB, v blob.Store, account string, b []byte) blob.Entry {
	tb.Helper()
	e, err := v.Put(tb.Context(), blob.Meta{Account: account, OrderID: "1000"}, bytes.NewReader(b))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func read(ctx context.Context, v blob.Store, e blob.Entry) ([]byte, error) {
	r, err := v.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}

func unclaimed(tb testing.TB, v blob.Store, account string) []blob.Unclaimed {
	tb.Helper()
	found, err := v.Unclaimed(tb.Context(), account, 0, 100)
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// mustBeAway asks that an error says nothing about a voucher.
func mustBeAway(tb testing.TB, what string, err error) {
	tb.Helper()
	if err == nil || errors.Is(err, blob.ErrMissing) || errors.Is(err, blob.ErrDamaged) {
		tb.Errorf("%s: %v, want an error that is neither ErrMissing nor ErrDamaged", what, err)
	}
}

// files lists the regular files and links below dir, but the marker.
func files(tb testing.TB, dir string) []string {
	tb.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "STORE" {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		found = append(found, rel)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// until waits for a condition.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("still not: %s", what)
		}
	}
}
