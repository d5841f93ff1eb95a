package tasks_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

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
