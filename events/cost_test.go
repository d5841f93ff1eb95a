package events_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// While the receiver is down, what ends costs Redis as much as without webhooks. What the sender asks
// for itself depends on time, and is a page of events at most, for none of them is asked before the
// former have had their turn.
func TestAReceiverThatIsDownCostsDeliveriesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.rdb = redistest.Start(t, redistest.Options{}).Client()
	b.ledger = ledger.New(b.rdb, ledger.Settings{})
	b.set.Poll, b.set.DownFor = time.Second, time.Second
	const n = 500
	deliver := func(order string) (commands int64, took time.Duration) {
		before, began := redistest.Commands(t, b.rdb), time.Now()
		for i := range n {
			b.end(fmt.Sprint(order, i), i, delivered())
		}
		for name, after := range redistest.Commands(t, b.rdb) {
			commands += after - before[name]
		}
		return commands, time.Since(began)
	}
	deliver("warm-")
	without, _ := deliver("without-")
	b.to.down()
	b.start()
	b.ready()
	for i := range 20 { // as many lines of events as make the receiver count as down
		b.end(fmt.Sprint("first-", i), i, delivered())
	}
	b.eventually("a receiver that counts as down", func() bool { s, _ := b.status(); return len(s.Recent) > 6 })
	with, took := deliver("with-")
	const each = 10      // commands a second of the sender: it looks, asks once more, and notes how far it is
	const page = 2 * 200 // commands: the record and the attempts of each upload
	most := without + page + each*int64(took/time.Second+2)
	t.Logf("%d deliveries: %d commands without webhooks, %d with a receiver that is down, in %s", n, without, with, took.Round(time.Millisecond))
	if with > most {
		t.Errorf("%d deliveries cost %d commands, without webhooks %d; want %d at most", n, with, without, most)
	}
}
