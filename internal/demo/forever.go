package demo

import (
	"context"
	"errors"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// The times of the demo that goes on.
const (
	every      = 3 * time.Second // a receipt
	wellFor    = 5               // receipts, until the API goes away
	awayFor    = 3               // receipts, until it is back
	followed   = 12              // uploads
	lastChance = 5 * time.Second // for what is under way when the demo is stopped
)

// Forever enqueues receipts and lets the API go away now and then, until the context ends. Then it
// reports what it has seen.
func (s *Show) Forever(ctx context.Context) error {
	err := s.cycle(ctx)
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if len(s.outages) > 0 && s.outages[len(s.outages)-1].to.IsZero() {
		s.comeBack()
	}
	s.act("Stopping.")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastChance)
	defer cancel()
	late := s.follow(ctx, time.Now().Add(lastChance), s.watch.settled)
	if err := s.report(); err != nil {
		// Being stopped in the middle is no failure: what has not ended would have.
		s.say("Still under way: %v\n", err)
	}
	if errors.Is(late, context.DeadlineExceeded) {
		return nil
	}
	return late
}

func (s *Show) cycle(ctx context.Context) error {
	for {
		s.act("The API is well. A receipt comes in every few seconds; Ctrl-C ends the demo with a report.")
		if err := s.receipts(ctx, wellFor); err != nil {
			return err
		}
		s.goAway()
		s.act("The API is away: every call gets HTTP 503. Receipts are taken all the same.")
		if err := s.receipts(ctx, awayFor); err != nil {
			return err
		}
		s.comeBack()
	}
}

func (s *Show) receipts(ctx context.Context, n int) error {
	for range n {
		if err := s.enqueue(ctx, 1); err != nil {
			return err
		}
		s.tidy()
		if err := s.follow(ctx, time.Now().Add(every-between), never); err != nil {
			return err
		}
	}
	return nil
}

// tidy forgets the oldest uploads that were delivered.
func (s *Show) tidy() {
	kept := s.watch.uploads[:0]
	surplus := len(s.watch.uploads) - followed
	for _, u := range s.watch.uploads {
		if surplus > 0 && u.State == ledger.Delivered {
			surplus--
			s.earlier++
			continue
		}
		kept = append(kept, u)
	}
	s.watch.uploads = kept
}
