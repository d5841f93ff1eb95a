package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// A backend enqueues a voucher and keeps the upload's id. Doing it twice is harmless: the same
// voucher for the same order is the same upload.
func ExampleClient_Enqueue() {
	ctx := context.Background()
	options, err := redis.ParseURL(redistest.URL()) // yours: "redis://127.0.0.1:6379/0"
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }()
	vouchers, err := blob.Open(ctx, "redis:", rdb) // as the workers' VOUCHERD_STORE says
	if err != nil {
		panic(err)
	}
	defer func() { _ = vouchers.Close() }()
	client := tasks.New(tasks.Config{Redis: rdb, Store: vouchers, InlineMost: ledger.InlineMost})

	for range 2 {
		upload, err := client.Enqueue(ctx, tasks.Request{
			Account:   "example",                          // left out: "default"
			OrderID:   "1022505290408395575",              // PandaPon's id of the order, as text
			Reference: "invoice 2041",                     // your own name for it; never sent
			Voucher:   strings.NewReader("%PDF-1.7 paid"), // the picture or PDF: a file, a request's body, any io.Reader
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(upload.ID, upload.State, upload.Duplicate)
	}

	// Output:
	// example-oy3mptd6zb54rmuauep4kc6j3o queued false
	// example-oy3mptd6zb54rmuauep4kc6j3o queued true
}

// Many vouchers are enqueued at once; those of one order in the order given.
func ExampleClient_EnqueueAll() {
	ctx := context.Background()
	options, err := redis.ParseURL(redistest.URL()) // yours: "redis://127.0.0.1:6379/0"
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }()
	tasks.MergeCalls(rdb) // what is asked at the same time shares its way to Redis
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})

	requests := []tasks.Request{
		{Account: "example-all", OrderID: "1022505290408395575", Voucher: strings.NewReader("%PDF-1.7 paid")},
		{Account: "example-all", OrderID: "order 17", Voucher: strings.NewReader("%PDF-1.7 paid")},
	}
	results := make([]tasks.Result, len(requests))
	client.EnqueueAll(ctx, requests, func(i int, r tasks.Result) { results[i] = r })
	for _, r := range results {
		fmt.Println(r.Upload.State, r.Err)
	}

	// Output:
	// queued <nil>
	//  orderId: must have 1 to 64 characters of 0-9, A-Z, a-z, '_', '.' and '-', and begin with a digit or letter
}

// A program stays until an upload has ended, or its patience has.
func ExampleClient_Wait() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	options, err := redis.ParseURL(redistest.URL()) // yours: "redis://127.0.0.1:6379/0"
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }()
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})
	upload, err := client.Enqueue(ctx, tasks.Request{
		Account: "example-wait", OrderID: "1022505290408395575", Voucher: strings.NewReader("%PDF-1.7 paid"),
	})
	if err != nil {
		panic(err)
	}
	deliverExample(ctx, rdb, upload) // stands for a worker

	upload, err = client.Wait(ctx, upload.ID)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("it goes on; it is", upload.State)
	case err != nil:
		panic(err)
	case upload.State == ledger.Delivered:
		fmt.Println("PandaPon has it:", upload.RequestID)
	default: // rejected, expired or discarded: a person has to look
		fmt.Println(upload.State, upload.Code, upload.Msg)
	}

	// Output:
	// PandaPon has it: 67247a32b9ee7034cff80698009e1a30
}

// deliverExample does what a worker does.
func deliverExample(ctx context.Context, rdb *redis.Client, u ledger.Upload) {
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

// What cannot be sent is refused at once, with the field and a sentence for the person who sent it.
func ExampleInvalidError() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // it is never asked
	defer func() { _ = rdb.Close() }()
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})

	_, err := client.Enqueue(context.Background(), tasks.Request{
		OrderID: "order 17", Voucher: strings.NewReader("%PDF-1.7 paid"),
	})
	if invalid, ok := errors.AsType[*tasks.InvalidError](err); ok {
		fmt.Println(invalid)
	}

	// Output:
	// orderId: must have 1 to 64 characters of 0-9, A-Z, a-z, '_', '.' and '-', and begin with a digit or letter
}

// A Redis that is away is worth another try later: enqueueing again is safe.
func ExampleUnreachableError() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}) // nobody is there
	defer func() { _ = rdb.Close() }()
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})

	_, err := client.Enqueue(context.Background(), tasks.Request{
		OrderID: "1022505290408395575", Voucher: strings.NewReader("%PDF-1.7 paid"),
	})
	if _, ok := errors.AsType[*tasks.UnreachableError](err); ok {
		fmt.Println("later")
	}

	// Output:
	// later
}
