package blob_test

import (
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/voucherd/voucherd/blob"
)

func TestWrongBytesAreNeverGivenWhole(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, account := open(t)
			for _, size := range []int{1, 2000, 700_000} {
				want := voucher(size)
				right := put(t, v, account, want)
				for name, spoil := range map[string]func(*blob.Entry){
					"other sum": func(e *blob.Entry) { e.CRC32C = "01234567" },
					"other sha": func(e *blob.Entry) { e.SHA256, e.CRC32C = sha([]byte("other")), "" }, // as older records have it
					"longer":    func(e *blob.Entry) { e.Size++ },
					"shorter":   func(e *blob.Entry) { e.Size-- },
					"absurd":    func(e *blob.Entry) { e.Size = 1 << 40 },
				} {
					e := right
					spoil(&e)
					r, err := v.Open(t.Context(), e)
					if err != nil {
						t.Fatal(err)
					}
					src := io.Reader(r)
					if size < 10_000 {
						src = iotest.OneByteReader(r)
					}
					got, err := io.ReadAll(src)
					if !errors.Is(err, blob.ErrDamaged) || int64(len(got)) >= e.Size && e.Size > 0 {
						t.Errorf("%s, %d bytes: gave %d, %v", name, size, len(got), err)
					}
					if n, again := r.Read(make([]byte, 10)); n != 0 || !errors.Is(again, blob.ErrDamaged) {
						t.Errorf("%s: read after the error: %d, %v", name, n, again)
					}
					_ = r.Close()
				}
			}
		})
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
		if n, err := r.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("%d, %v", n, err)
		}
	}
	if n, err := r.Read(nil); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}
