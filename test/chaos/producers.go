package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

// producers enqueue vouchers, as backends do: what fails they try again.
type producers struct {
	client *tasks.Client
	seed   uint64
	began  time.Time
	away   func(from, to time.Time) bool // Redis was away between these

	mu     sync.Mutex
	handed []audit.Handed
	ids    map[seat]string // of the uploads
	tally  producing
}

// seat is a voucher's place in its order.
type seat struct {
	order string
	place int
}

// producing is what the report says of the producers.
type producing struct {
	Calls         int            `json:"calls"`
	Accepted      int            `json:"accepted"`
	Again         int            `json:"enqueuedAgain"`
	Failed        int            `json:"failed"`        // and tried again
	WhileAway     int            `json:"failedAway"`    // of these, while Redis was away
	Slowest       length         `json:"slowestFailed"` // until the producer had its error
	SlowestDone   length         `json:"slowestDone"`
	Errors        map[string]int `json:"errors,omitempty"`
	Wrong         []string       `json:"wrong,omitempty"` // what Enqueue answered and should not have
	Unnamed       int            `json:"failedUnnamed"`   // failures that came while Redis was still away and do not say which Redis
	UnnamedSample []string       `json:"unnamed,omitempty"`
}

func (w *world) newProducers() *producers {
	return &producers{
		client: w.client, seed: w.opts.seed, began: time.Now(), away: w.redis.awayAt, ids: map[seat]string{},
	}
}

const (
	producerCount = 6
	retryAfter    = 200 * time.Millisecond
)

// run enqueues all vouchers of the plan, each at its time.
func (p *producers) run(ctx context.Context, orders []plan.Order) {
	lines := make(chan line)
	var wg sync.WaitGroup
	for range producerCount {
		wg.Go(func() {
			for l := range lines {
				p.order(ctx, l)
			}
		})
	}
	p.feed(ctx, orders, lines)
	close(lines)
	wg.Wait()
}

// line is what is still to be enqueued of an order, next.
type line struct {
	order plan.Order
	at    time.Duration
	step  int
	again bool
}

// feed gives out each voucher at its time. A voucher waits until the one before it in its order is accepted: a call
// that failed may have been carried out, so only that settles who comes first.
func (p *producers) feed(ctx context.Context, orders []plan.Order, lines chan<- line) {
	var due []line
	for _, o := range orders {
		for i, v := range o.Vouchers {
			due = append(due, line{order: o, at: v.At, step: i})
			if v.Again > 0 {
				due = append(due, line{order: o, at: v.Again, step: i, again: true})
			}
		}
	}
	slices.SortStableFunc(due, func(a, b line) int { return int(a.at - b.at) })
	for _, l := range due {
		if !sleep(ctx, time.Until(p.began.Add(l.at))) {
			return
		}
		select {
		case lines <- l:
		case <-ctx.Done():
			return
		}
	}
}

// order enqueues one voucher of an order, when those before it are accepted.
func (p *producers) order(ctx context.Context, l line) {
	before := l.step - 1
	if l.again {
		before = l.step
	}
	for before >= 0 && p.find(l.order.ID, before) == "" {
		if !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
	v := l.order.Vouchers[l.step]
	for {
		u, err := p.enqueue(ctx, l.order, v)
		if err == nil {
			p.accept(l, v, u)
			return
		}
		if !sleep(ctx, retryAfter) {
			return
		}
	}
}

func (p *producers) find(order string, place int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[seat{order, place}]
}

// enqueue makes one call and notes how it went.
func (p *producers) enqueue(ctx context.Context, o plan.Order, v plan.Voucher) (ledger.Upload, error) {
	began := time.Now()
	u, err := p.client.Enqueue(ctx, tasks.Request{Account: o.Account, OrderID: o.ID, Voucher: v.Open(p.seed)})
	took := time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.tally
	t.Calls++
	if err == nil {
		t.SlowestDone = max(t.SlowestDone, length(took))
		return u, nil
	}
	if ctx.Err() != nil {
		return u, err
	}
	t.Failed++
	t.Slowest = max(t.Slowest, length(took))
	var unreachable *tasks.UnreachableError
	named := errors.As(err, &unreachable)
	if p.away(began, time.Now()) {
		t.WhileAway++
		if !named && p.away(time.Now(), time.Now().Add(time.Millisecond)) {
			t.Unnamed++
			t.UnnamedSample = sample(t.UnnamedSample, err.Error())
		}
	}
	if t.Errors == nil {
		t.Errors = map[string]int{}
	}
	t.Errors[kind(err, named)]++
	return u, err
}

func kind(err error, unreachable bool) string {
	if unreachable {
		return "redis could not be reached"
	}
	return clip(err.Error())
}

// accept notes what Enqueue promised, and what it answered wrongly.
func (p *producers) accept(l line, v plan.Voucher, u ledger.Upload) {
	known := p.find(l.order.ID, l.step)
	hash := sha256.New()
	_, _ = io.Copy(hash, v.Open(p.seed)) // neither fails
	sum := hex.EncodeToString(hash.Sum(nil))
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.tally
	if u.SHA256 != sum || u.OrderID != l.order.ID || u.Account != l.order.Account {
		t.Wrong = sample(t.Wrong, "order "+l.order.ID+": the answer is about "+u.ID)
	}
	if l.again {
		t.Again++
		if u.ID != known || !u.Duplicate {
			t.Wrong = sample(t.Wrong, "order "+l.order.ID+": enqueued again, it got "+u.ID+" and not a duplicate of "+known)
		}
		return
	}
	t.Accepted++
	p.ids[seat{l.order.ID, l.step}] = u.ID
	p.handed = append(p.handed, audit.Handed{
		UploadID: u.ID, Account: l.order.Account, OrderID: l.order.ID, SHA256: sum, Place: l.step, At: time.Now(),
	})
}

// sample keeps the first few of many.
func sample(all []string, one string) []string {
	if len(all) < 10 {
		all = append(all, clip(one))
	}
	return all
}

func clip(s string) string {
	const most = 300
	return s[:min(len(s), most)]
}
