package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
	"github.com/voucherd/voucherd/test/process"
)

// producers enqueue vouchers, as backends do: what fails they try again.
type producers struct {
	client *tasks.Client
	seed   uint64
	began  time.Time
	away   func(from, to time.Time) bool // Redis was away between these
	calls  chan struct{}                 // as many as may be under way

	mu       sync.Mutex
	enqueued []audit.Enqueued

	made, again       int
	failed, whileAway int            // and tried again; of these, while Redis was away
	slowest           time.Duration  // until the producer had its error
	errors            map[string]int // by text
	wrong             []string       // what Enqueue answered and should not have
	unnamed           []string       // errors that came while Redis was still away and do not say which Redis
}

func (w *testbed) newProducers() *producers {
	const callsAtOnce = 6
	return &producers{
		client: w.client, seed: w.opts.Seed, began: time.Now(), away: w.redis.awayAt, calls: make(chan struct{}, callsAtOnce),
		errors: map[string]int{},
	}
}

// run enqueues all vouchers of the plan, each at its time.
func (p *producers) run(ctx context.Context, orders []plan.Order) {
	var wg sync.WaitGroup
	for _, o := range orders {
		wg.Go(func() { p.order(ctx, o) })
	}
	wg.Wait()
}

// step is one voucher of an order, enqueued for the first time or again.
type step struct {
	place int
	at    time.Duration
	again bool
}

// order enqueues the vouchers of an order. Each waits until the one before it is accepted: a call
// that failed may have been carried out, so only that settles who comes first.
func (p *producers) order(ctx context.Context, o plan.Order) {
	const retryAfter = 200 * time.Millisecond
	var steps []step
	for i, v := range o.Vouchers {
		steps = append(steps, step{place: i, at: v.At})
		if v.Again > 0 {
			steps = append(steps, step{place: i, at: v.Again, again: true})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	ids := make([]string, len(o.Vouchers))
	for _, s := range steps {
		if !process.Sleep(ctx, time.Until(p.began.Add(s.at))) {
			return
		}
		asked := time.Now()
		u, err := p.enqueue(ctx, o, o.Vouchers[s.place])
		for err != nil {
			if !process.Sleep(ctx, retryAfter) {
				return
			}
			asked = time.Now()
			u, err = p.enqueue(ctx, o, o.Vouchers[s.place])
		}
		p.accept(o, s, u, ids, asked)
	}
}

// enqueue makes one call and notes how it went.
func (p *producers) enqueue(ctx context.Context, o plan.Order, v plan.Voucher) (ledger.Upload, error) {
	p.calls <- struct{}{}
	defer func() { <-p.calls }()
	began := time.Now()
	u, err := p.client.Enqueue(ctx, tasks.Request{Account: o.Account, OrderID: o.ID, Voucher: v.Open(p.seed)})
	took := time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	if err == nil || ctx.Err() != nil {
		return u, err
	}
	p.failed++
	p.slowest = max(p.slowest, took)
	_, named := errors.AsType[*tasks.UnreachableError](err)
	if p.away(began, time.Now()) {
		p.whileAway++
		if !named && p.away(time.Now(), time.Now().Add(time.Millisecond)) {
			p.unnamed = append(p.unnamed, err.Error())
		}
	}
	if named {
		p.errors["redis could not be reached"]++
	} else {
		p.errors[err.Error()]++
	}
	return u, err
}

// accept notes what Enqueue promised, and what it answered wrongly. Ids are those of the order's
// uploads.
func (p *producers) accept(o plan.Order, s step, u ledger.Upload, ids []string, asked time.Time) {
	hash := sha256.New()
	_, _ = io.Copy(hash, o.Vouchers[s.place].Open(p.seed)) // neither fails
	sum := hex.EncodeToString(hash.Sum(nil))
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.SHA256 != sum || u.OrderID != o.ID || u.Account != o.Account {
		p.wrong = append(p.wrong, "order "+o.ID+": the answer is about "+u.ID)
	}
	if s.again {
		p.again++
		if u.ID != ids[s.place] || !u.Duplicate {
			p.wrong = append(p.wrong, "order "+o.ID+": enqueued again, it got "+u.ID+" and not a duplicate of "+ids[s.place])
		}
		return
	}
	ids[s.place] = u.ID
	p.enqueued = append(p.enqueued, audit.Enqueued{
		UploadID: u.ID, Account: o.Account, OrderID: o.ID, SHA256: sum, Place: s.place, Asked: asked, At: time.Now(),
	})
}

// report says how enqueueing went, and whether Enqueue kept its word.
func (p *producers) report(r *report) {
	r.row("accepted by Enqueue", "%d, and %d again (in %d calls; %d failed, %d of them while Redis was away; slowest error after %v)",
		len(p.enqueued), p.again, p.made, p.failed, p.whileAway, short(p.slowest))
	for text, n := range p.errors {
		r.row("", "%d × %.300s", n, text)
	}
	r.check("Enqueue answers what it should, duplicates too", len(p.enqueued)+p.again, p.wrong...)
	var slow []string
	if p.slowest > 5*time.Second {
		slow = append(slow, fmt.Sprintf("the slowest error came after %v", p.slowest))
	}
	r.check("a producer that cannot reach Redis knows within 5 s", p.failed, slow...)
	r.check("an error while Redis is away says which Redis", p.whileAway, p.unnamed...)
}
