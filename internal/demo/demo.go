// Package demo shows vouchers surviving an outage: it enqueues receipts, lets the stand-in API
// fail, and tells what becomes of each upload. It runs on a sandbox and a worker that its caller
// has started.
package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/voucherd/voucherd/internal/receipt"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
)

// Stage is what the demo runs on. All of it is required but Own.
type Stage struct {
	Tasks   *tasks.Client
	Box     *sandbox.Sandbox
	Account string
	Out     io.Writer
	Own     *Own // the user's own voucher; nil: only generated ones
}

// Own is a voucher of the user's.
type Own struct {
	Order   string
	Voucher []byte
}

// Show is one demo. Not safe for concurrent use.
type Show struct {
	Stage

	watch    *watcher
	began    time.Time
	enqueued int
	earlier  int // delivered, and no longer followed
	outages  []outage
	lost     string // the order whose first answer was cut off
}

// outage is a time in which the API is away.
type outage struct{ from, to time.Time }

// New prepares a demo.
func New(st Stage) *Show {
	return &Show{Stage: st, watch: newWatcher(st.Tasks, st.Account), began: time.Now()}
}

// The times of the short demo.
const (
	between  = 500 * time.Millisecond // two receipts
	away     = 6 * time.Second        // the outage
	onceEnds = 2 * time.Minute        // whatever has not ended by then has failed; a busy machine needs half a minute
)

// Once plays the short demo: six receipts, an outage, a lost answer. It returns nil only if every
// upload was delivered as it was enqueued.
func (s *Show) Once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, onceEnds)
	defer cancel()
	err := s.play(ctx)
	if errors.Is(err, context.Canceled) {
		return err
	}
	return errors.Join(s.report(), err)
}

// play is the script of the short demo.
func (s *Show) play(ctx context.Context) error {
	s.act("Two receipts are enqueued while the API is well.")
	if err := s.enqueue(ctx, 2); err != nil {
		return err
	}
	if err := s.follow(ctx, time.Now().Add(onceEnds), s.watch.settled); err != nil {
		return err
	}
	s.goAway()
	s.act(fmt.Sprintf("The API goes away for %s: it answers every call with HTTP 503. More receipts come in.", away))
	if err := s.enqueue(ctx, 4); err != nil {
		return err
	}
	if err := s.follow(ctx, s.outages[0].from.Add(away), never); err != nil {
		return err
	}
	s.comeBack()
	s.Box.SetFaults(sandbox.Fault{Kind: sandbox.CutOff, Times: 1, OrderID: s.lost})
	s.act("The API is back. It will take one voucher and be cut off before it can say so.")
	err := s.follow(ctx, time.Now().Add(onceEnds), s.watch.settled)
	s.Box.SetFaults()
	return err
}

// goAway and comeBack are the beginning and the end of an outage.
func (s *Show) goAway() {
	s.Box.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	s.outages = append(s.outages, outage{from: time.Now()})
}

func (s *Show) comeBack() {
	s.Box.SetFaults()
	s.outages[len(s.outages)-1].to = time.Now()
}

// enqueue enqueues receipts, one after the other.
func (s *Show) enqueue(ctx context.Context, n int) error {
	for range n {
		r, err := s.next()
		if err != nil {
			return err
		}
		u, err := s.Tasks.Enqueue(ctx, r)
		if err != nil {
			return fmt.Errorf("enqueue the voucher of order %s: %w", r.OrderID, err)
		}
		s.enqueued++
		if s.enqueued == 4 {
			s.lost = u.OrderID
		}
		s.watch.add(u)
		if err := s.follow(ctx, time.Now().Add(between), never); err != nil {
			return err
		}
	}
	return nil
}

// next is what to enqueue next. The user's own voucher comes third, so that it meets the outage; it
// is sent even if an earlier demo delivered it.
func (s *Show) next() (tasks.Request, error) {
	if s.enqueued == 2 && s.Own != nil {
		return tasks.Request{
			Account: s.Account, OrderID: s.Own.Order, Voucher: bytes.NewReader(s.Own.Voucher), Again: true,
		}, nil
	}
	p, err := drawReceipt()
	return tasks.Request{Account: s.Account, OrderID: p.order, Voucher: p}, err
}

// act says what the demo does now.
func (s *Show) act(what string) { s.say("\n%s\n", what) }

// say writes to the screen. One that cannot be written to has nobody before it who could be told.
func (s *Show) say(format string, args ...any) { _, _ = fmt.Fprintf(s.Out, format, args...) }

// lookEvery is how often the uploads are looked at.
const lookEvery = 80 * time.Millisecond

func never() bool { return false }

// follow shows what happens until a time, or until done says so. Time running out is an error only
// of the context; a look that fails is one only if it is the last.
func (s *Show) follow(ctx context.Context, until time.Time, done func() bool) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		events, err := s.watch.look(ctx)
		for _, e := range events {
			s.say("  %5.1f s  %-20s %s\n", time.Since(s.began).Seconds(), e.order, e.what)
		}
		if time.Now().After(until) {
			return err
		}
		if err == nil && done() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("the demo took longer than it should: %w", ctx.Err())
			}
			return ctx.Err()
		}
	}
}

// picture is a drawn receipt.
type picture struct {
	io.Reader

	order string
}

// drawReceipt draws the receipt of an order that no other demo has.
func drawReceipt() (picture, error) {
	digits, err := rand.Int(rand.Reader, big.NewInt(1e15))
	if err != nil {
		return picture{}, fmt.Errorf("pick an order number: %w", err)
	}
	p := picture{order: fmt.Sprintf("1800%015d", digits)}
	cents := digits.Int64() % 900_000
	var b bytes.Buffer
	err = receipt.Draw(&b, receipt.Receipt{
		Order: p.order, Amount: fmt.Sprintf("CNY %d.%02d", 100+cents/100, cents%100),
		Paid: time.Now().Format("2006-01-02 15:04"),
	})
	p.Reader = &b
	return p, err
}
