package events_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

func (b *bundle) feed() events.Feed {
	return events.NewFeed(tasks.New(tasks.Config{Redis: b.rdb, Store: blob.NewRedis(b.rdb), Ledger: b.ledger}))
}

// What follows a feed gets what has ended and what ends later, and goes on from where it was.
func TestAllFollows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := []string{b.end("1", 0, delivered())}
	ctx, cancel := context.WithTimeout(b.ctx, waitMost)
	defer cancel()
	var got []string
	var last ledger.Time
	for e, err := range b.feed().All(ctx, b.account, ledger.Time{}) {
		b.must(err)
		got, last = append(got, e.Data.ID), e.Timestamp
		if len(got) == 2 {
			break
		}
		want = append(want, b.end("2", 0, rejected()))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for e, err := range b.feed().All(ctx, b.account, ledger.Time{Time: last.Add(-time.Millisecond)}) {
		b.must(err)
		if e.Data.ID != want[1] {
			t.Fatalf("went on with %s", e.Data.ID)
		}
		break
	}
}

func TestAWaitWithoutEventsEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	page, err := b.feed().Read(b.ctx, events.Query{Account: b.account, Wait: 50 * time.Millisecond})
	if err != nil || len(page.Events) != 0 {
		t.Fatalf("%+v %v", page, err)
	}
}

// A rejection that is retried before anybody reads it has its event all the same.
func TestEachEndHasItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.end("1", 0, rejected())
	task, err := b.ledger.Reopen(b.ctx, id, ledger.Who{})
	b.must(err)
	g, err := b.ledger.Begin(b.ctx, ledger.NewAttempt{ID: id, Generation: task.Generation, Nonce: "again", Worker: "w", Lease: time.Minute})
	b.must(err)
	b.nextMillisecond() // an event's id is its upload's, with this
	_, err = b.ledger.Finish(b.ctx, g.Running, delivered())
	b.must(err)
	ctx, cancel := context.WithTimeout(b.ctx, waitMost)
	defer cancel()
	var got []events.Event
	for e, err := range b.feed().All(ctx, b.account, ledger.Time{}) {
		b.must(err)
		if got = append(got, e); len(got) == 2 {
			break
		}
	}
	if !slices.Equal(types(got), []events.Type{events.UploadRejected, events.UploadDelivered}) || got[0].ID == got[1].ID || got[0].Data.Code != "4711" {
		t.Fatalf("told %+v", got)
	}
}
