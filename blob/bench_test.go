package blob_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/test/redistest"
)

func eachStoreAndSize(b *testing.B, bench func(b *testing.B, v blob.Store, bytes []byte)) {
	b.Helper()
	for _, size := range []int{2 << 10, 20 << 10, 200 << 10} {
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

const atOnce = 16

// many runs do n times, 16 at a time.
func many(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func enqueue(ctx context.Context, v blob.Store, voucher []byte) (blob.Entry, error) {
	e, err := v.Put(ctx, blob.Meta{Account: "bench", OrderID: "1000"}, bytes.NewReader(voucher))
	if err == nil {
		err = v.Claim(ctx, e.Key)
	}
	return e, err
}

// BenchmarkEnqueue is what 16 producers ask of their store.
func BenchmarkEnqueue(b *testing.B) {
	eachStoreAndSize(b, func(b *testing.B, v blob.Store, want []byte) {
		b.Helper()
		b.SetBytes(int64(len(want)))
		many(b, b.N, func(int) error {
			_, err := enqueue(b.Context(), v, want)
			return err
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "vouchers/s")
	})
}

// BenchmarkDeliver is what a delivered voucher asks of its store: 16 read, and one retires.
func BenchmarkDeliver(b *testing.B) {
	eachStoreAndSize(b, func(b *testing.B, v blob.Store, want []byte) {
		b.Helper()
		b.SetBytes(int64(len(want)))
		entries := make([]blob.Entry, b.N)
		many(b, b.N, func(i int) (err error) {
			entries[i], err = enqueue(b.Context(), v, want)
			return err
		})
		b.ResetTimer()
		done := make(chan blob.Retired, b.N)
		var retiring sync.WaitGroup
		retiring.Go(func() {
			for r := range done {
				batch := []blob.Retired{r}
				for len(batch) < 64 && len(done) > 0 {
					batch = append(batch, <-done)
				}
				if err := v.Retire(b.Context(), batch...); err != nil {
					b.Error(err)
				}
			}
		})
		many(b, b.N, func(i int) error {
			r, err := v.Open(b.Context(), entries[i])
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 32<<10))
			_ = r.Close() // It is only read.
			done <- blob.Retired{Key: entries[i].Key, Result: json.RawMessage(`{"requestId":"r"}`)}
			return err
		})
		close(done)
		retiring.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "vouchers/s")
	})
}
