package web_test

import (
	"net/http"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

// BenchmarkPages measures what a page costs beside the store: what a browser that is left open
// costs every few seconds.
func BenchmarkPages(b *testing.B) {
	s := newSite(b, many(50, ledger.Rejected)...)
	for name, path := range map[string]string{"start": "/", "list of 50": "/uploads", "upload": "/uploads/" + idOf(1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := s.get(path); a.status != http.StatusOK {
					b.Fatal(a.status)
				}
			}
		})
	}
}
