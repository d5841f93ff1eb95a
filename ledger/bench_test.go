package ledger_test

import (
	"strconv"
	"testing"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

func BenchmarkOpen(b *testing.B) {
	l := newBundle(b, redistest.Client(b), ledger.Settings{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.open("order-"+strconv.Itoa(i), "receipt")
	}
}

func BenchmarkBeginFinish(b *testing.B) {
	l := newBundle(b, redistest.Client(b), ledger.Settings{})
	id := l.open("order", "receipt").ID
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.finish(l.started(id, 1, strconv.Itoa(i)), refused(ledger.FaultNone))
	}
}

// BenchmarkList reads a page of 100: it must not cost more when there are more uploads.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			l := newBundle(b, redistest.Client(b), ledger.Settings{})
			for i := range n {
				l.open("order-"+strconv.Itoa(i), "receipt")
			}
			b.ReportAllocs()
			for b.Loop() {
				if p, err := l.List(l.ctx, ledger.Query{Account: l.account}); err != nil || len(p.Uploads) != 100 {
					b.Fatal(len(p.Uploads), err)
				}
			}
		})
	}
}
