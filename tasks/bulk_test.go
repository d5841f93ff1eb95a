package tasks_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

func TestActAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for n := range 12 {
		ids = append(ids, b.enqueue(tasks.Request{OrderID: strconv.Itoa(n), Voucher: pdf(strconv.Itoa(n))}).ID)
	}
	for _, atOnce := range []int{0, 4} {
		found, err := b.Select(b.ctx, tasks.ActionDiscard, tasks.Selection{
			Account: b.account, Query: &ledger.Query{State: ledger.Queued}, Keys: []string{ids[0], "11"},
		})
		if err != nil || !slices.Equal(slices.Sorted(slices.Values(found)), slices.Sorted(slices.Values(ids))) {
			t.Fatalf("selected %v, %v; want %v", found, err, ids)
		}
		half := tasks.Bulk{Action: tasks.ActionDiscard, IDs: append(found[:6:6], "nobody"), AtOnce: atOnce}
		moved := 0
		err = b.ActAll(b.ctx, half, func(id string, r tasks.Result) error {
			switch {
			case r.Moved() && id == "nobody":
				moved++
			case r.Err != nil || r.Upload.State != ledger.Discarded:
				t.Errorf("%s: %+v", id, r)
			}
			return nil
		})
		if err != nil || moved != 1 {
			t.Errorf("%d were gone, %v", moved, err)
		}
		ids = found[6:]
	}
}

func TestActAllStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for n := range 5 {
		ids = append(ids, b.enqueue(tasks.Request{OrderID: strconv.Itoa(n), Voucher: pdf(strconv.Itoa(n))}).ID)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	calls := 0
	err := b.ActAll(ctx, tasks.Bulk{Action: tasks.ActionRetry, IDs: ids}, func(string, tasks.Result) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("after the end of the context: %d calls, %v", calls, err)
	}
	enough := errors.New("enough")
	calls = 0
	err = b.ActAll(b.ctx, tasks.Bulk{Action: tasks.ActionRetry, IDs: ids}, func(string, tasks.Result) error {
		calls++
		return enough
	})
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("after an error of the caller's: %d calls, %v", calls, err)
	}
}

// At a rate, uploads start one by one: what a deadline leaves no time for is not done, and said so.
func TestActAllAtARate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for n := range 3 {
		ids = append(ids, b.enqueue(tasks.Request{OrderID: strconv.Itoa(n), Voucher: pdf(strconv.Itoa(n))}).ID)
	}
	var at []time.Time
	bulk := tasks.Bulk{Action: tasks.ActionRetry, IDs: ids, AtOnce: 4, Rate: 20, Who: ledger.Who{By: "li-na", Reason: "all of them"}}
	began := time.Now()
	b.must(b.ActAll(b.ctx, bulk, func(_ string, r tasks.Result) error {
		at = append(at, time.Now())
		if n := len(r.Upload.Actions); n != 1 || r.Upload.Actions[0].By != "li-na" || r.Upload.Actions[0].Reason != "all of them" {
			t.Errorf("recorded %+v", r.Upload.Actions)
		}
		return r.Err
	}))
	if len(at) != 3 || at[2].Sub(began) < 100*time.Millisecond {
		t.Errorf("begun at %v, done at %v, want one each 50 ms", began, at)
	}
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	calls := 0
	bulk.Rate = 0.001
	err := b.ActAll(ctx, bulk, func(string, tasks.Result) error { calls++; return nil })
	if !errors.Is(err, tasks.ErrTooSlow) || calls > 1 {
		t.Errorf("%d calls, %v: want the first, and an error", calls, err)
	}
}
