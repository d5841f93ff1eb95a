package tasks

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
)

// atOnce is how many vouchers EnqueueAll enqueues at a time. Each may hold a piece of 256 KiB in
// memory.
const atOnce = 16

// Result is what became of one request.
type Result struct {
	Upload ledger.Upload
	Err    error // as Enqueue gives it; ErrNotEnqueued with the context's cause for a request that was not tried
}

// MergeCalls lets rdb send scripts that are called at the same time as one pipeline: a program that
// enqueues many vouchers at once does so several times as fast. A client of a cluster needs it also
// so that nothing is enqueued in half while the cluster moves the account to another node. Call it
// once for a client, before it is used.
func MergeCalls(rdb redis.UniversalClient) { redisconn.MergeCalls(rdb) }

// EnqueueAll enqueues many vouchers, several at a time; see MergeCalls. Those of one order are
// enqueued one after the other, as they stand in requests. It returns when each has its result.
//
// Done is called once for each request, with its index, by several goroutines at a time; when the
// context is over the rest is not tried.
func (c *Client) EnqueueAll(ctx context.Context, requests []Request, done func(i int, r Result)) {
	seed := maphash.MakeSeed()
	var lines [atOnce][]int
	for i, r := range requests {
		n := maphash.String(seed, r.OrderID) % atOnce
		lines[n] = append(lines[n], i)
	}
	var work sync.WaitGroup
	for _, line := range lines {
		if len(line) == 0 {
			continue
		}
		work.Go(func() {
			for _, i := range line {
				if ctx.Err() != nil {
					done(i, Result{Err: notEnqueued(ctx)})
					continue
				}
				u, err := c.Enqueue(ctx, requests[i])
				done(i, Result{Upload: u, Err: err})
			}
		})
	}
	work.Wait()
}
