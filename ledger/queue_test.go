package ledger_test

import (
	"context"
	"errors"
	"io"
	"log"
	"math"
	"testing"
	"time"

	"github.com/hibiken/asynq" //nolint:depguard // what the ledger knows of asynq's keys must be true of the real ones

	"github.com/voucherd/voucherd/ledger"
)

// queue is the account's asynq queue.
type queue struct {
	*bundle

	client    *asynq.Client
	inspector *asynq.Inspector
}

func setupQueue(t *testing.T) *queue {
	t.Helper()
	return queueOf(setup(t, ledger.Settings{}))
}

func queueOf(b *bundle) *queue {
	return &queue{
		bundle: b, client: asynq.NewClientFromRedisClient(b.rdb), inspector: asynq.NewInspectorFromRedisClient(b.rdb),
	}
}

// put puts a task as tasks.Client does.
func (q *queue) put(id string, generation int64, opts ...asynq.Option) {
	q.t.Helper()
	opts = append([]asynq.Option{
		asynq.TaskID(ledger.TaskID(id, generation)), asynq.Queue(ledger.Queue(q.account)), asynq.MaxRetry(math.MaxInt32),
	}, opts...)
	_, err := q.client.EnqueueContext(q.ctx, asynq.NewTask("t", nil), opts...)
	if !errors.Is(err, asynq.ErrTaskIDConflict) {
		q.must(err)
	}
}

// due gives the tasks that are to be put.
func (q *queue) due() (all []ledger.Repair) {
	q.t.Helper()
	for cursor := ""; cursor != ledger.SweepRecords; {
		found, err := q.Sweep(q.ctx, q.account, cursor, 500)
		q.must(err)
		all, cursor = append(all, found.Repairs...), found.Cursor
	}
	return all
}

// quiet asserts that nothing is to be repaired.
func (q *queue) quiet() {
	q.t.Helper()
	if got := q.due(); len(got) > 0 {
		q.t.Fatalf("repairs %+v, want none", got)
	}
}

// repairs asserts that one task is to be put.
func (q *queue) repairs(id string, generation int64) ledger.Repair {
	q.t.Helper()
	got := q.due()
	if len(got) != 1 || got[0].ID != id || got[0].Generation != generation {
		q.t.Fatalf("repairs %+v, want %s with generation %d", got, id, generation)
	}
	q.quiet()
	return got[0]
}

// serve runs an asynq server whose handler tells of each task and ends it as it is told.
func (q *queue) serve() (got <-chan string, end chan<- error) {
	q.t.Helper()
	tasks, ends := make(chan string, 1), make(chan error)
	quiet := log.New(io.Discard, "", 0)
	s := asynq.NewServerFromRedisClient(q.rdb, asynq.Config{
		Concurrency: 1, Queues: map[string]int{ledger.Queue(q.account): 1}, Logger: logger{quiet}, LogLevel: asynq.FatalLevel,
		RetryDelayFunc:    func(int, error, *asynq.Task) time.Duration { return time.Hour },
		TaskCheckInterval: 10 * time.Millisecond,
	})
	q.must(s.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		tasks <- t.ResultWriter().TaskID()
		return <-ends
	})))
	q.t.Cleanup(s.Shutdown)
	return tasks, ends
}

// logger keeps asynq quiet.
type logger struct{ *log.Logger }

func (l logger) Debug(args ...any) { l.Print(args...) }
func (l logger) Info(args ...any)  { l.Print(args...) }
func (l logger) Warn(args ...any)  { l.Print(args...) }
func (l logger) Error(args ...any) { l.Print(args...) }

// eventually waits for a condition.
func (b *bundle) eventually(what string, done func() bool) {
	b.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			b.t.Fatalf("still not: %s", what)
		}
	}
}

func (q *queue) asynqKey(name string) string {
	return "asynq:{" + ledger.Queue(q.account) + "}:" + name
}

// flush deletes every key of the queue.
func (q *queue) flush() {
	q.t.Helper()
	keys, err := q.rdb.Keys(q.ctx, q.asynqKey("*")).Result()
	q.must(err)
	q.must(q.rdb.Del(q.ctx, keys...).Err())
}
