package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
)

// loader fills a ledger fast: voucherd's own code and scripts, called by many at a time, whose commands travel together.
type loader struct {
	raw   redis.UniversalClient
	batch *batcher
	store *store
}

const (
	loadAtOnce   = 600 // callers
	loadBatch    = 256 // most commands that travel together
	loadAccounts = 3   // batches on their way
)

func newLoader(ctx context.Context, redisURL, apiURL string) (*loader, error) {
	raw, err := redisconn.Open(redisURL, 2*loadAccounts)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	front, err := redisconn.Open(redisURL, 1)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open redis: %w", err), raw.Close())
	}
	l := &loader{raw: raw, batch: newBatcher(raw)}
	front.AddHook(l.batch)
	l.store, err = storeOn(ctx, spec{
		System: kindVoucherd, Redis: redisURL, API: apiURL, Store: "redis:", Concurrency: 1,
	}, front)
	if err != nil {
		l.batch.close()
		return nil, errors.Join(err, front.Close(), raw.Close())
	}
	return l, nil
}

func (l *loader) close() error {
	err := l.store.close()
	l.batch.close()
	return errors.Join(err, l.raw.Close())
}

// waiting enqueues uploads.
func (l *loader) waiting(ctx context.Context, from, n int) error {
	raw := voucher(smallVoucher)
	return l.all(ctx, from, n, func(ctx context.Context, i int) error { return l.store.enqueue(ctx, orderID(i), raw) })
}

// delivered writes the records of uploads that are delivered: opened, begun, finished, and their vouchers gone.
func (l *loader) delivered(ctx context.Context, n int) error {
	return l.all(ctx, 0, n, l.deliver)
}

func (l *loader) deliver(ctx context.Context, i int) error {
	led := l.store.ledger
	storeKey := accountName + "-" + "aaaaaaaaaaaaaaaa" + fmt.Sprintf("%010d", i)
	opened, err := led.Open(ctx, ledger.NewUpload{
		Account: accountName, OrderID: orderID(i), SHA256: fmt.Sprintf("%064x", i), Size: smallVoucher, MediaType: "image/jpeg", StoreKey: storeKey,
	})
	if err != nil {
		return err
	}
	nonce := fmt.Sprintf("%032x", i)
	begun, err := led.Begin(ctx, ledger.NewAttempt{
		ID: opened.ID, Generation: opened.Generation, Nonce: nonce, Worker: "bench:1", Lease: time.Minute,
	})
	if err != nil {
		return err
	}
	if begun.Answer != ledger.Started {
		return fmt.Errorf("upload %d was not started: %s", i, begun.Answer)
	}
	_, err = led.Finish(ctx, begun.Running, ledger.AttemptResult{
		Outcome: ledger.OutcomeDelivered, HTTPStatus: 200, Code: "200", RequestID: nonce, DevelopID: strconv.Itoa(i), Msg: "success",
		Duration: 40 * time.Millisecond, Next: ledger.Delivered,
	})
	if err != nil {
		return err
	}
	return led.Left(ctx, accountName, []ledger.Kept{{ID: opened.ID, StoreKey: storeKey}})
}

func (l *loader) all(ctx context.Context, from, n int, do func(context.Context, int) error) error {
	_, err := many(ctx, order{From: from, N: n, Limit: time.Hour}, loadAtOnce, func(ctx context.Context) func(int) error {
		return func(i int) error { return do(ctx, i) }
	})
	return err
}

// batcher is a go-redis hook that gathers the commands of many callers into pipelines.
type batcher struct {
	raw   redis.UniversalClient
	calls chan call
	work  sync.WaitGroup
}

// call is what one caller sends and waits for.
type call struct {
	ctx  context.Context //nolint:containedctx // it travels to the goroutine that sends
	cmds []redis.Cmder
	done chan struct{}
}

func newBatcher(raw redis.UniversalClient) *batcher {
	b := &batcher{raw: raw, calls: make(chan call, loadAtOnce)}
	for range loadAccounts {
		b.work.Go(b.send)
	}
	return b
}

func (b *batcher) close() {
	close(b.calls)
	b.work.Wait()
}

// DialHook implements redis.Hook.
func (*batcher) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (b *batcher) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		b.wait(ctx, []redis.Cmder{cmd})
		return cmd.Err()
	}
}

// ProcessPipelineHook implements redis.Hook.
func (b *batcher) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		b.wait(ctx, cmds)
		for _, c := range cmds {
			if c.Err() != nil {
				return c.Err()
			}
		}
		return nil
	}
}

func (b *batcher) wait(ctx context.Context, cmds []redis.Cmder) {
	c := call{ctx: ctx, cmds: cmds, done: make(chan struct{})}
	b.calls <- c
	<-c.done
}

// send sends batches until there are no more calls.
func (b *batcher) send() {
	for c := range b.calls {
		batch := b.gather(c)
		pipe := b.raw.Pipeline()
		for _, c := range batch {
			for _, cmd := range c.cmds {
				_ = pipe.Process(c.ctx, cmd) // it only joins the pipeline
			}
		}
		_, _ = pipe.Exec(c.ctx) // every command has its own error
		for _, c := range batch {
			close(c.done)
		}
	}
}

// gather adds to a call the others that wait.
func (b *batcher) gather(first call) []call {
	batch := []call{first}
	for n := len(first.cmds); n < loadBatch; {
		select {
		case more, ok := <-b.calls:
			if !ok {
				return batch
			}
			batch, n = append(batch, more), n+len(more.cmds)
		default:
			return batch
		}
	}
	return batch
}
