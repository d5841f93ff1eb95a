package events

import (
	"context"
	"iter"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// source is where the feed is read from; *tasks.Client is one.
type source interface {
	Finished(ctx context.Context, account string, after ledger.Time, limit int) (ledger.Finished, error)
}

// Feed reads what became of uploads. It is safe for concurrent use.
type Feed struct{ from source }

// NewFeed gives a feed; a *tasks.Client is what it reads from.
func NewFeed(from source) Feed { return Feed{from} }

// Query says what to read.
type Query struct {
	Account string        // "": of all accounts
	After   Cursor        // of the page before; zero: from the oldest that is kept
	Limit   int           // about how many events; 0: 100
	Wait    time.Duration // how long to wait for the first event; 0: not at all
}

// Page is a part of the feed. Reading on after its Cursor misses nothing.
type Page struct {
	Events []Event `json:"events"`
	Cursor Cursor  `json:"cursor"`
}

// askEvery is how often a feed that waits asks. It bounds what those who wait cost Redis.
const askEvery = 500 * time.Millisecond

// Read reads a page, oldest first, those of one order in order. When nothing has ended after the
// cursor, it waits for as long as the query says. A page without events is no error, nor is a
// context that ends.
func (f Feed) Read(ctx context.Context, q Query) (Page, error) {
	wait := time.NewTimer(q.Wait)
	defer wait.Stop()
	page := Page{Events: []Event{}, Cursor: q.After}
	for {
		found, err := f.from.Finished(ctx, q.Account, page.Cursor.time(), q.Limit)
		if err != nil && ctx.Err() != nil {
			return page, nil // that the context ended is no news
		}
		if err != nil {
			return page, err
		}
		for _, u := range found.Uploads {
			page.Events = append(page.Events, ofUpload(u))
		}
		until := CursorAt(found.Until)
		moved := until != page.Cursor
		page.Cursor = until
		if len(page.Events) > 0 {
			return page, nil
		}
		if moved {
			continue
		}
		if q.Wait <= 0 {
			return page, nil
		}
		ask := time.NewTimer(askEvery)
		select {
		case <-ask.C:
		case <-wait.C:
			q.Wait = 0 // asked once more, at the end of the wait
		case <-ctx.Done():
			ask.Stop()
			return page, nil
		}
		ask.Stop()
	}
}

// follow is how long each read of All waits.
const follow = 30 * time.Second

// All gives the events after a time one by one, and waits for more until the context ends. To go on
// from an event later, begin a millisecond before its Timestamp: it comes again, with what ended in
// the same millisecond, and nothing is missed. An error is given in the place of an event; a second
// later it tries again.
func (f Feed) All(ctx context.Context, account string, after ledger.Time) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		from := CursorAt(after)
		for ctx.Err() == nil {
			page, err := f.Read(ctx, Query{Account: account, After: from, Wait: follow})
			if err != nil && ctx.Err() == nil {
				if !yield(Event{}, err) {
					return
				}
				pause(ctx, time.Second)
			}
			for _, e := range page.Events {
				if !yield(e, nil) {
					return
				}
			}
			from = page.Cursor
		}
	}
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
