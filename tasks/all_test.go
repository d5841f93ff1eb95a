package tasks_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestEnqueueAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders, each = 40, 3
	var requests []tasks.Request
	for n := range orders * each {
		requests = append(requests, tasks.Request{
			Account: b.account, OrderID: strconv.Itoa(n % orders), Voucher: pdf(strconv.Itoa(n)),
		})
	}
	requests[7].Voucher = pdf("")
	requests[7].OrderID = "no order id"
	results, calls := collect(b.ctx, b.Client, requests)
	for i, r := range results {
		_, invalid := errors.AsType[*tasks.InvalidError](r.Err)
		if calls[i] != 1 || invalid != (i == 7) || (i != 7 && (r.Err != nil || b.get(r.Upload.ID).OrderID != requests[i].OrderID)) {
			t.Errorf("request %d: called %d times: %+v", i, calls[i], r)
		}
	}
	// The first of each order is the head of its order queue: it alone has a task. Order 7 lost its
	// first.
	var heads []string
	for i := range orders {
		if i == 7 {
			i += orders
		}
		heads = append(heads, results[i].Upload.ID)
	}
	pending := map[string]bool{}
	for _, p := range b.pending() {
		pending[p.ID] = true
	}
	for i, id := range heads {
		if !pending[id] {
			t.Errorf("the first voucher of order %d is not the head of its order queue", i)
		}
	}
	if len(b.pending()) > orders {
		t.Errorf("%d tasks for %d orders", len(b.pending()), orders)
	}
}

func TestEnqueueAllStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancelCause(b.ctx)
	gone := errors.New("the disk is gone")
	requests := make([]tasks.Request, 500)
	for i := range requests {
		requests[i] = tasks.Request{Account: b.account, OrderID: strconv.Itoa(i), Voucher: pdf(strconv.Itoa(i))}
	}
	requests[0].Voucher = readerFunc(func([]byte) (int, error) { cancel(gone); return 0, gone })
	results, _ := collect(ctx, b.Client, requests)
	untried := 0
	for i, r := range results {
		if r.Err == nil != (r.Upload.ID != "") {
			t.Errorf("request %d: %+v", i, r)
		}
		if errors.Is(r.Err, gone) {
			untried++
		}
	}
	if untried == 0 || !errors.Is(results[0].Err, gone) {
		t.Errorf("%d were not tried; the first: %v", untried, results[0].Err)
	}
}

// TestMergedCalls enqueues many vouchers at once through one client whose calls are merged, and
// finds each as it would without.
func TestMergedCalls(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	tasks.MergeCalls(rdb)
	b := with(t, rdb, blob.NewRedis(rdb), ledger.InlineMost)
	requests := make([]tasks.Request, 300)
	for i := range requests {
		requests[i] = tasks.Request{Account: b.account, OrderID: strconv.Itoa(i), Voucher: pdf(strconv.Itoa(i))}
	}
	results, _ := collect(b.ctx, b.Client, requests)
	for i, r := range results {
		want := ledger.UploadID(b.account, "", strconv.Itoa(i), r.Upload.SHA256)
		if r.Err != nil || r.Upload.ID != want || b.get(want).OrderID != strconv.Itoa(i) {
			t.Fatalf("request %d: %+v, want %s", i, r, want)
		}
	}
	if n := len(b.pending()); n != len(results) {
		t.Errorf("%d tasks", n)
	}
}

func collect(ctx context.Context, c *tasks.Client, requests []tasks.Request) ([]tasks.Result, []int) {
	var mu sync.Mutex
	results, calls := make([]tasks.Result, len(requests)), make([]int, len(requests))
	c.EnqueueAll(ctx, requests, func(i int, r tasks.Result) {
		mu.Lock()
		defer mu.Unlock()
		results[i] = r
		calls[i]++
	})
	return results, calls
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

var _ io.Reader = readerFunc(nil)
