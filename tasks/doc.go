// Package tasks is what a Go producer imports to enqueue vouchers and to ask what became of them.
// It also holds the wire contract of the queue.
//
// A [Client] needs the workers' Redis and their blob store:
//
//	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
//	vouchers, err := blob.Open(ctx, "redis:", rdb) // as VOUCHERD_STORE of the workers
//	…
//	client := tasks.New(tasks.Config{Redis: rdb, Store: vouchers, InlineMost: ledger.InlineMost})
//	upload, err := client.Enqueue(ctx, tasks.Request{OrderID: "1022505290408395575", Voucher: file})
//
// When [Client.Enqueue] returns without an error, voucher and record are stored: the voucher will be
// delivered, or is recorded as not delivered with the reason. Doing it again is harmless, whatever
// came of the first time: the same voucher for the same order is the same upload, with the same id.
//
// # What became of it
//
// [Client.Get] and [Client.Find] read an upload with its attempts, and [Client.Wait] stays until it
// has ended. Package events has the feed of what ended, for a backend that wants to be told of all.
//
// # Errors
//
//   - [*InvalidError]: the voucher or a field cannot be sent. Tell the person who sent it.
//   - [*UnreachableError], [ErrNoRoom], [*RefusedError]: Redis is away, full, or refuses to work.
//     Enqueue again later. [Config].Patience waits out a failover.
//   - [ErrNotEnqueued]: the context ended first. Nothing was enqueued.
//
// # Tests of a producer
//
// Package taskstest gives them a Client that needs neither Redis nor a worker.
//
// # What stays
//
// The form of ids, the JSON of uploads and events, and the tasks in the queue keep what they have
// within a major version; fields may be added.
package tasks
