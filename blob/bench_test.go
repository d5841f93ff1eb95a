package blob_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/test/redistest"
)

func eachStoreAndSize(b *testing.B, bench func(b *testing.B, v blob.Store, bytes []byte)) {
	b.Helper()
	for _, size := range []int{2 << 10, 200 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("store=redis/size=%dKB", size>>10), func(b *testing.B) {
			bench(b, blob.NewRedis(redistest.Client(b)), voucher(size))
		})
		b.Run(fmt.Sprintf("store=dir/size=%dKB", size>>10), func(b *testing.B) {
			bench(b, openDir(b, b.TempDir()), voucher(size))
		})
	}
}

func BenchmarkPut(b *testing.B) {
	eachStoreAndSize(b, func(b *testing.B, v blob.Store, bytes []byte) {
		b.Helper()
		b.SetBytes(int64(len(bytes)))
		b.ReportAllocs()
		for b.Loop() {
			e := put(b, v, "bench", bytes)
			b.StopTimer()
			if err := v.Delete(b.Context(), e.Key); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	eachStoreAndSize(b, func(b *testing.B, v blob.Store, want []byte) {
		b.Helper()
		e := put(b, v, "bench", want)
		b.SetBytes(int64(len(want)))
		b.ReportAllocs()
		buf := make([]byte, 32<<10)
		for b.Loop() {
			r, err := v.Open(b.Context(), e)
			if err != nil {
				b.Fatal(err)
			}
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
			if err != nil || n != int64(len(want)) {
				b.Fatalf("%d bytes, %v", n, err)
			}
			_ = r.Close()
		}
	})
}

// BenchmarkLife is all that a delivered voucher asks of its store.
func BenchmarkLife(b *testing.B) {
	eachStoreAndSize(b, func(b *testing.B, v blob.Store, want []byte) {
		b.Helper()
		b.SetBytes(int64(len(want)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				e, err := v.Put(b.Context(), blob.Meta{Account: "bench"}, bytes.NewReader(want))
				if err == nil {
					err = v.Claim(b.Context(), e.Key, "upload")
				}
				if err == nil {
					_, err = read(b.Context(), v, e)
				}
				if err == nil {
					err = v.Delete(b.Context(), e.Key)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
