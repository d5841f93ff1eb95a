package simulation

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// workers are how many run, each on a host of its own.
const workers = 2

// week is a run of a story.
type week struct {
	story
	redis   *memory
	api     *api
	log     *zap.Logger
	logs    *observer.ObservedLogs
	start   time.Time
	gateway *process
	client  *http.Client
	over    context.Context //nolint:containedctx // ends with the story
	end     context.CancelFunc
	running sync.WaitGroup // the story's own goroutines

	mu       sync.Mutex
	away     bool // Redis is
	slots    [workers]*process
	all      []*process
	enqueued []audit.Enqueued
	killed   map[string]time.Time
	gone     map[string]string // how those died
	frozen   map[string][]audit.Span
	aways    []audit.Span
	stepped  []audit.Span
	clock    []redisTime
	seen     []sight
	notes    []string
}

// redisTime is how far Redis' clock is ahead from an instant on.
type redisTime struct {
	at    time.Time
	ahead time.Duration
}

// sight is how the breaker stood at a time of a spell.
type sight struct {
	spell    spell
	at       time.Time
	reason   ledger.Breaker
	requests int
}

func newWeek(s story) (*week, error) {
	m, err := newMemory()
	if err != nil {
		return nil, err
	}
	core, logs := observer.New(zap.WarnLevel)
	w := &week{
		story: s, redis: m, api: newAPI(s.faults()), log: zap.New(core), logs: logs, start: time.Now(),
		killed: map[string]time.Time{}, gone: map[string]string{}, frozen: map[string][]audit.Span{},
	}
	w.over, w.end = context.WithCancel(context.Background())
	w.running.Go(func() { m.expire(w.over) })
	var l *listener
	if w.gateway, l, err = w.newGateway(); err != nil {
		return nil, err
	}
	toGateway := newLink("producers", l.take)
	w.client = &http.Client{Transport: &http.Transport{DialContext: toGateway.dial}}
	for slot := range workers {
		if err := w.hire(slot); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// play plays the story and lets what is unfinished finish.
func (w *week) play(ctx context.Context) error {
	var deeds sync.WaitGroup
	for _, p := range w.spells {
		deeds.Go(func() { w.cast(ctx, p) })
	}
	for _, e := range w.events {
		deeds.Go(func() { w.happen(e) })
	}
	for i, o := range w.orders {
		deeds.Go(func() { w.produce(ctx, i, o) })
	}
	deeds.Wait()
	return w.drain(ctx)
}

// drain waits until all uploads have come to their end.
func (w *week) drain(ctx context.Context) error {
	const most = 36 * time.Hour
	for from := time.Now(); time.Since(from) < most; w.wait(10 * time.Minute) {
		left := 0
		for _, s := range []ledger.State{ledger.Queued, ledger.Sending, ledger.Waiting} {
			page, err := w.gateway.ledger.List(ctx, ledger.Query{Account: account, State: s, Limit: 1})
			if err != nil {
				return err
			}
			left += len(page.Uploads)
		}
		if left == 0 {
			return nil
		}
	}
	return nil // the audit tells what is left
}

// close stops all that runs.
func (w *week) close() {
	w.end()
	w.running.Wait()
	w.mu.Lock()
	all := append([]*process{w.gateway}, w.all...)
	w.mu.Unlock()
	for _, p := range all {
		p.stop()
	}
	for _, p := range all {
		<-p.ended
	}
	w.client.CloseIdleConnections()
	w.api.end()
	w.redis.Close()
}

// until waits for a time of the story.
func (w *week) until(at time.Duration) { w.wait(time.Until(w.start.Add(at))) }

// wait lets time pass: the bubble's.
func (*week) wait(d time.Duration) { <-time.After(d) }

func (w *week) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, stampOf(time.Since(w.start))+" "+fmt.Sprintf(format, args...))
}

// hire starts a worker in a slot.
func (w *week) hire(slot int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := w.newWorker(fmt.Sprintf("w%d.%d", slot+1, len(w.all)))
	if err != nil {
		return err
	}
	if w.away {
		p.link.set(down)
	}
	p.died = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.killed[p.name] = time.Now()
	}
	w.slots[slot] = p
	w.all = append(w.all, p)
	return nil
}

// employ gives the worker of a slot, or of another one where that is not there; nil when there is
// none.
func (w *week) employ(slot int) (int, *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range workers {
		n := (slot + i) % workers
		if p := w.slots[n]; p != nil && !p.dead.Load() {
			return n, p
		}
	}
	return 0, nil
}

// cast puts a spell on the API, and lifts it as an operator would.
func (w *week) cast(ctx context.Context, p spell) {
	w.until(p.from)
	switch p.kind {
	case credentials:
		w.api.resetSecret()
	case clockStep:
		w.api.setClock(p.ahead)
	case outage, throttling, retirement, slow:
		w.api.strike(p.faults...)
	}
	before := len(w.api.Requests())
	for at := p.from + 15*time.Minute; at < p.to; at += 30 * time.Minute {
		w.until(at)
		b, err := w.gateway.ledger.Breaker(ctx, account)
		w.mu.Lock()
		if err == nil {
			w.seen = append(w.seen, sight{p, time.Now(), b, len(w.api.Requests()) - before})
		}
		w.mu.Unlock()
	}
	w.until(p.to)
	switch p.kind {
	case credentials:
		w.tell(ctx)
	case clockStep:
		w.api.setClock(0)
	case retirement:
		w.api.strike()
		w.roll()
	case outage, throttling, slow:
		w.api.strike()
	}
}

// tell tells all workers the new secret while they run. One that cannot take it starts anew.
func (w *week) tell(ctx context.Context) {
	w.api.tell()
	for slot := range workers {
		w.mu.Lock()
		p := w.slots[slot]
		w.mu.Unlock()
		if p == nil || p.dead.Load() {
			continue // it gets it when it starts
		}
		if err := p.worker.SetAccounts(ctx, p.accounts(w.api.creds())); err != nil {
			w.note("%s does not take the new secret: %v", p.name, err)
			w.replace(slot)
		}
	}
}

// roll stops all workers in turn, and starts others in their place.
func (w *week) roll() {
	for slot := range workers {
		w.replace(slot)
	}
}

func (w *week) replace(slot int) {
	w.mu.Lock()
	p := w.slots[slot]
	if p == nil || p.dead.Load() {
		w.mu.Unlock()
		return // somebody else is at it
	}
	w.slots[slot] = nil
	w.mu.Unlock()
	p.stop()
	<-p.ended
	if err := w.hire(slot); err != nil {
		w.note("%v", err)
	}
}
