package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// fill gives a server its uploads.
func (b *bench) fill(ctx context.Context, l *backlog) error {
	began := time.Now()
	st, err := openVoucherd(ctx, spec{
		System: kindVoucherd, Redis: l.server.url, API: b.server.URL, Store: "redis:", Concurrency: 16,
	}, new(trips))
	if err != nil {
		return err
	}
	load := loader{st}
	if err = load.delivered(ctx, l.delivered); err == nil {
		err = load.waiting(ctx, l.delivered, l.waiting)
		l.next = l.delivered + l.waiting
	}
	if err = errors.Join(err, st.close()); err != nil {
		return err
	}
	info, err := l.server.info(ctx)
	b.say("%d waiting and %d delivered: filled in %v, redis holds %.0f MB", l.waiting, l.delivered,
		time.Since(began).Round(time.Second), info["used_memory"]/(1<<20))
	return err
}

// loader fills a ledger fast: voucherd's own code and scripts, called by many at a time, whose
// calls travel together.
type loader struct{ store *store }

const loadAtOnce = 600 // callers

// waiting enqueues uploads.
func (l loader) waiting(ctx context.Context, from, n int) error {
	raw := voucher(smallVoucher)
	return l.all(ctx, from, n, func(ctx context.Context, i int) error { return l.store.enqueue(ctx, orderID(i), raw) })
}

// delivered writes the records of uploads that are delivered: opened, begun, finished, and their
// vouchers gone.
func (l loader) delivered(ctx context.Context, n int) error { return l.all(ctx, 0, n, l.deliver) }

func (l loader) deliver(ctx context.Context, i int) error {
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

func (l loader) all(ctx context.Context, from, n int, do func(context.Context, int) error) error {
	_, err := many(ctx, Order{From: from, N: n, Limit: time.Hour}, loadAtOnce, func(ctx context.Context) func(int) error {
		return func(i int) error { return do(ctx, i) }
	})
	return err
}
