package pandapon_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
)

func BenchmarkSign(b *testing.B) {
	b.ReportAllocs()
	rule, c := pandapon.SignRule{}, credentials()
	for b.Loop() {
		rule.Sign(c, "1715669977082", testNonce)
	}
}

func BenchmarkParseEnvelope(b *testing.B) {
	b.ReportAllocs()
	raw := []byte(success)
	for b.Loop() {
		if _, err := pandapon.ParseEnvelope(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpload goes over loopback to a server in this process; its own cost
// is counted too.
func BenchmarkUpload(b *testing.B) {
	server := serve(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, success)
	})
	client := newClient(b, server.URL)
	for name, size := range map[string]int64{"2KiB": 2 << 10, "10MiB": 10 << 20} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				if _, err := client.Upload(b.Context(), upload(io.LimitReader(zeros{}, size), size)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
