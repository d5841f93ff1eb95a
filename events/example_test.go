package events_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// A backend reads what became of its uploads, and keeps the cursor together with what it did about
// them.
func ExampleFeed_Read() {
	ctx := context.Background()
	options, err := redis.ParseURL(redistest.URL()) // yours: "redis://127.0.0.1:6379/0"
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }()
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})
	deliverExample(ctx, client, rdb) // a worker has delivered a voucher

	feed, cursor := events.NewFeed(client), events.Cursor{} // the zero cursor is the beginning
	page, err := feed.Read(ctx, events.Query{Account: "example", After: cursor, Wait: 30 * time.Second})
	if err != nil {
		panic(err)
	}
	for _, e := range page.Events { // one may come again, with the same ID
		fmt.Println(e.Type, e.Data.OrderID, e.Data.RequestID)
	}
	cursor = page.Cursor // to be kept: the next Read goes on from here
	fmt.Println(cursor == events.Cursor{})

	// Output:
	// upload.delivered 1022505290408395575 67247a32b9ee7034cff80698009e1a30
	// false
}

// deliverExample enqueues a voucher and does what a worker does.
func deliverExample(ctx context.Context, client *tasks.Client, rdb *redis.Client) {
	u, err := client.Enqueue(ctx, tasks.Request{Account: "example", OrderID: "1022505290408395575", Voucher: strings.NewReader("%PDF-1.7 paid")})
	if err != nil {
		panic(err)
	}
	l := ledger.New(rdb, ledger.Settings{})
	g, err := l.Begin(ctx, ledger.NewAttempt{ID: u.ID, Generation: u.Generation, Nonce: "n", Worker: "w", Lease: time.Minute})
	if err != nil {
		panic(err)
	}
	if _, err = l.Finish(ctx, g.Running, ledger.AttemptResult{
		Outcome: ledger.OutcomeDelivered, HTTPStatus: 200, Code: "200", RequestID: "67247a32b9ee7034cff80698009e1a30", Next: ledger.Delivered,
	}); err != nil {
		panic(err)
	}
}
