package events_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/voucherd/voucherd/events"
)

// Ten thousand uploads end while the receiver answers 500, hangs, is down, and comes back, and while
// one sender takes over from another. Every event arrives, those of one order in order; the
// specification's own library verifies each.
func TestEveryEventArrivesThroughAnOutageOfTheReceiver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := b.start()
	b.ready()
	const orders, each = 500, 20
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for n := range each {
				for o := w; o < orders; o += 8 {
					b.end(fmt.Sprint("o", o), n, delivered())
				}
			}
		})
	}
	b.eventually("the first events", func() bool { return b.to.arrived() > 100 })

	b.to.answers(func(w http.ResponseWriter, _ *http.Request, _ events.Event) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return false
	})
	b.failing("HTTP 500")
	b.to.answers(func(_ http.ResponseWriter, r *http.Request, _ events.Event) bool {
		<-r.Context().Done()
		return false
	})
	b.failing("Timeout")
	b.to.down()
	b.failing("refused")
	writers.Wait()
	if s, _ := b.status(); s.Lag <= 0 || s.FailingSince.IsZero() {
		t.Errorf("down, and the lag is %s, failing since %s", s.Lag, s.FailingSince)
	}
	stop()
	b.to.answers(nil)
	b.to.up(b.to.addr)
	b.start()
	for n := 1000; n <= orders*each; n += 1000 { // a slow machine is given its time
		b.eventually(fmt.Sprint(n, " events"), func() bool { return b.to.arrived() >= n })
	}

	next := map[string]int{}
	for _, e := range b.to.events() {
		u := e.Data.Upload
		if n, err := strconv.Atoi(u.Reference); err != nil || n != next[u.OrderID] {
			t.Fatalf("order %s: %d came when %d was due", u.OrderID, n, next[u.OrderID])
		}
		next[u.OrderID]++
	}
	b.eventually("no lag", func() bool { s, _ := b.status(); return s.Lag == 0 && s.FailingSince.IsZero() })
	t.Logf("%d calls for %d events", b.to.called(), orders*each)
}

// failing waits until the sender has seen the receiver fail like this.
func (b *bundle) failing(cause string) {
	b.t.Helper()
	b.eventually("a failure: "+cause, func() bool { s, _ := b.status(); return strings.Contains(s.Error, cause) })
}
