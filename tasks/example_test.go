package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
