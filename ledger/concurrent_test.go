package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// crowd is several workers at once on a few lines, some of which die.
type crowd struct {
	*bundle

	mu     sync.Mutex
	live   map[string]int                 // attempts under way, by order
	sent   map[string]map[string]struct{} // nonces, by upload
	ended  map[string][]string            // uploads of an order, as they ended
	lines  map[string][]string            // … as they were opened
	orders map[string]string              // of an upload
	left   int                            // uploads that have not ended
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{Breaker: ledger.BreakerSettings{OutageRow: 1 << 30, AccountRow: 1 << 30, RefusingRow: 1 << 30}})
	c := &crowd{
		bundle: b, live: map[string]int{}, sent: map[string]map[string]struct{}{}, ended: map[string][]string{},
		lines: map[string][]string{}, orders: map[string]string{},
	}
	const orders, each, workers = 4, 6, 6
	for i := range orders * each {
		order := fmt.Sprint("order-", i%orders)
		id := b.open(order, fmt.Sprint("receipt ", i)).ID
		c.lines[order] = append(c.lines[order], id)
		c.orders[id] = order
		c.sent[id] = map[string]struct{}{}
		c.left++
	}
	var wg sync.WaitGroup
	for w := range uint64(workers) {
		wg.Go(func() { c.work(rand.New(rand.NewPCG(1, w))) })
	}
	wg.Wait()
	for order, ids := range c.lines {
		if !slices.Equal(c.ended[order], ids) {
			t.Errorf("%s: ended in the order %v, want %v", order, c.ended[order], ids)
		}
	}
	for id, nonces := range c.sent {
		u := b.get(id)
		for _, a := range u.Attempts {
			delete(nonces, a.Nonce)
		}
		if len(nonces) > 0 {
			t.Errorf("upload %s: attempts that were sent and are not recorded: %v", id, nonces)
		}
	}
}

// work tries uploads at random until all have ended.
func (c *crowd) work(r *rand.Rand) {
	for n := 0; !c.over(); n++ {
		order := fmt.Sprint("order-", r.IntN(len(c.lines)))
		id := c.lines[order][r.IntN(len(c.lines[order]))]
		c.try(id, fmt.Sprint("nonce-", r.Uint64()), r)
	}
}

func (c *crowd) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left == 0 || c.t.Failed()
}

// try makes an attempt if the ledger lets it; one in four dies.
func (c *crowd) try(id, nonce string, r *rand.Rand) {
	dies := r.IntN(4) == 0
	a := ledger.NewAttempt{ID: id, Nonce: nonce, Worker: "w", Lease: lease}
	if dies {
		a.Lease = time.Millisecond
	}
	u, err := c.Get(c.ctx, id)
	if err != nil {
		c.t.Error(err)
		return
	}
	a.Generation = u.Generation
	g, err := c.Begin(c.ctx, a)
	if err != nil {
		c.t.Error(err)
		return
	}
	if g.Answer != ledger.Started {
		return
	}
	c.mu.Lock()
	c.sent[id][nonce] = struct{}{}
	if !dies { // another may start as soon as its lease is over
		if c.live[c.orders[id]]++; c.live[c.orders[id]] > 1 {
			c.t.Errorf("two attempts of %s at once", c.orders[id])
		}
	}
	c.mu.Unlock()
	if dies {
		return
	}
	o := []ledger.AttemptResult{delivered(nonce), unavailable(), unclear(), refused(ledger.FaultRefusing), final()}[r.IntN(5)]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live[c.orders[id]]--
	rec, err := c.Finish(c.ctx, g.Running, o)
	if err != nil {
		c.t.Error(err)
		return
	}
	if rec.State.Final() {
		c.ended[c.orders[id]] = append(c.ended[c.orders[id]], id)
		c.left--
	}
}
