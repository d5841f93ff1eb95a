package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// fetching is an asynq server that takes tasks and does not end them before its handler may.
type fetching struct {
	rdb     *redis.Client
	fetcher *fetcher
	server  *asynq.Server
	finish  chan struct{}
}

func newFetching(t *testing.T, concurrency, tasksPut int) fetching {
	t.Helper()
	rdb, account := redistest.Client(t), redistest.Account(t)
	cfg := Config{
		QueueRedis: rdb, Tasks: tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb)}),
		Settings: Settings{PollEvery: time.Hour, ShutdownTimeout: time.Minute}.WithDefaults(),
	}
	free := newSlots(concurrency, false)
	free.size = concurrency
	known := make(chan struct{})
	close(known)
	f := fetching{rdb: rdb, fetcher: newFetcher(cfg, account, free, known, zap.NewNop()), finish: make(chan struct{})}
	client := asynq.NewClientFromRedisClient(rdb)
	for i := range tasksPut {
		if _, err := client.Enqueue(asynq.NewTask("any", nil), asynq.TaskID(fmt.Sprintf("%02d", i)), asynq.Queue(ledger.Queue(account))); err != nil {
			t.Fatal(err)
		}
	}
	f.server = newServer(cfg, f.fetcher, concurrency, zap.NewNop())
	return f
}

// start begins, and ends with the test.
func (f fetching) start(t *testing.T) {
	t.Helper()
	handler := func(context.Context, *asynq.Task) error { <-f.finish; return nil }
	if err := f.server.Start(asynq.HandlerFunc(handler)); err != nil {
		t.Fatal(err)
	}
}

// wait waits for a condition.
func (f fetching) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func (f fetching) kept() int {
	f.fetcher.mu.Lock()
	defer f.fetcher.mu.Unlock()
	return len(f.fetcher.kept)
}

// TestKeptTasksGoBack fetches more than a server with 8 places has use for, and looks at the queue
// after what is too much was given back, by time or because the worker stops: it is as it was.
func TestKeptTasksGoBack(t *testing.T) {
	t.Parallel()
	const places, all = 8, 20
	for _, c := range []struct {
		name string
		stop bool
	}{{"in time", false}, {"at stop", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFetching(t, places, all)
			f.start(t)
			f.wait(t, "more is fetched than has room", func() bool {
				active, err := f.rdb.LLen(t.Context(), f.fetcher.keys.active).Result()
				return err == nil && active > places && f.kept() == int(active)-places
			})
			if c.stop {
				f.fetcher.close()
				f.server.Stop()
				f.fetcher.giveBack()
			}
			f.wait(t, "only what is handled is active", func() bool {
				active, err := f.rdb.LLen(t.Context(), f.fetcher.keys.active).Result()
				leases := f.rdb.ZCard(t.Context(), f.fetcher.keys.lease).Val()
				return err == nil && active == places && leases == places && f.kept() == 0
			})
			pending, err := f.rdb.LRange(t.Context(), f.fetcher.keys.pending, 0, -1).Result()
			if err != nil || len(pending) != all-places {
				t.Fatalf("pending: %v, %v", pending, err)
			}
			for i, id := range pending { // the next to be taken is the last
				if want := fmt.Sprintf("%02d", all-1-i); id != want {
					t.Errorf("pending at %d: %s, want %s", i, id, want)
				}
			}
			states, err := asynq.NewInspectorFromRedisClient(f.rdb).ListPendingTasks(ledger.Queue(f.fetcher.account))
			if err != nil || len(states) != all-places {
				t.Errorf("asynq lists %d, %v", len(states), err)
			}
			close(f.finish)
			if !c.stop {
				f.wait(t, "all are handled", func() bool {
					info, err := asynq.NewInspectorFromRedisClient(f.rdb).GetQueueInfo(ledger.Queue(f.fetcher.account))
					return err == nil && info.Processed == all
				})
				f.fetcher.close()
			}
			f.server.Shutdown()
		})
	}
}

// TestNothingIsFetchedAheadOfABreaker has no free slots: asynq gets what it asks for, and no more
// is fetched.
func TestNothingIsFetchedAheadOfABreaker(t *testing.T) {
	t.Parallel()
	const places = 4
	f := newFetching(t, places, 3*places)
	f.fetcher.slots.hold(time.Hour)
	f.start(t)
	f.wait(t, "the server is full", func() bool {
		active, err := f.rdb.LLen(t.Context(), f.fetcher.keys.active).Result()
		return err == nil && active == places
	})
	if n := f.kept(); n != 0 {
		t.Errorf("%d tasks are kept", n)
	}
	close(f.finish)
	f.fetcher.close()
	f.fetcher.slots.close()
	f.server.Shutdown()
}

// TestFullWorkerFetchesNothing lets a worker take up no task that another's end would keep waiting.
func TestFullWorkerFetchesNothing(t *testing.T) {
	t.Parallel()
	f := newFetching(t, 4, 3)
	f.fetcher.slots.size = 1
	if err := f.fetcher.slots.enter(t.Context(), nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	f.fetcher.slots.change() // is taken by who waits for a slot
	f.start(t)
	stillPending := func() int64 { return f.rdb.LLen(t.Context(), f.fetcher.keys.pending).Val() }
	f.wait(t, "the server waits for a slot", func() bool { return len(f.fetcher.slots.changed) == 0 })
	if n := stillPending(); n != 3 {
		t.Errorf("%d tasks are pending, want all 3", n)
	}
	f.fetcher.slots.leave(true)
	f.wait(t, "a free slot lets it fetch", func() bool { return stillPending() < 3 })
	close(f.finish)
	f.fetcher.close()
	f.server.Shutdown()
}

// TestNothingBeginsOnceStopped holds that a worker that stops begins nothing, whatever is free or kept.
func TestNothingBeginsOnceStopped(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	close(stop)
	free := newSlots(1, false)
	if err := free.enter(t.Context(), stop, time.Minute); !errors.Is(err, errWaited) {
		t.Errorf("a slot is given: %v", err)
	}
	f := newFetcher(Config{Settings: Settings{}.WithDefaults()}, "default", free, stop, zap.NewNop())
	f.kept = []string{"a task"}
	f.close()
	if err := f.next(t.Context(), 1, 0).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("a task is given: %v", err)
	}
}

// TestGivenBackCountsAsNoneThatIsNew looks at what was given back: it carries no time, as what asynq
// puts back itself. One of now, at the end that is taken first, would make all behind it look lost.
func TestGivenBackCountsAsNoneThatIsNew(t *testing.T) {
	t.Parallel()
	f := newFetching(t, 1, 2)
	f.fetcher.slots.size = 2
	if _, err := f.fetcher.ask(t.Context(), 2, time.Now().Add(time.Minute).Unix()).Result(); err != nil || f.kept() != 1 {
		t.Fatalf("%d are kept, %v", f.kept(), err)
	}
	f.fetcher.giveBack()
	pending, err := f.rdb.LRange(t.Context(), f.fetcher.keys.pending, 0, -1).Result()
	if err != nil || len(pending) != 1 {
		t.Fatalf("pending: %v, %v", pending, err)
	}
	task, err := f.rdb.HGetAll(t.Context(), f.fetcher.keys.prefix+"t:"+pending[0]).Result()
	if err != nil || task["state"] != "pending" || task["pending_since"] != "" {
		t.Errorf("given back: %v, %v", task, err)
	}
}
