package ledger_test

import (
	"io"
	"testing"
	"time"

	"github.com/hibiken/asynq" //nolint:depguard // what the ledger knows of asynq's keys must be true of the real ones

	"github.com/voucherd/voucherd/ledger"
)

func TestDueAfterACrashBetweenLedgerAndQueue(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o := q.open("order", "receipt")
	q.quiet() // the producer may be about to put it
	q.later(q.set.Grace)
	q.repairs(o.ID, 2)
	q.stopped(o.ID, 1, "late producer", ledger.Stale)
	q.put(o.ID, 2)
	q.later(q.set.Grace)
	q.quiet()
}

func TestDueWhateverBecameOfTheTask(t *testing.T) {
	t.Parallel()
	name := func(q *queue) string { return ledger.Queue(q.account) }
	cases := map[string]struct {
		lives  bool
		happen func(q *queue, id string)
	}{
		"pending":   {true, func(*queue, string) {}},
		"paused":    {true, func(q *queue, _ string) { q.must(q.inspector.PauseQueue(name(q))) }},
		"deleted":   {false, func(q *queue, id string) { q.must(q.inspector.DeleteTask(name(q), ledger.TaskID(id, 1))) }},
		"archived":  {false, func(q *queue, id string) { q.must(q.inspector.ArchiveTask(name(q), ledger.TaskID(id, 1))) }},
		"flushed":   {false, func(q *queue, _ string) { q.flush() }},
		"list gone": {false, func(q *queue, _ string) { q.must(q.rdb.Del(q.ctx, q.asynqKey("pending")).Err()) }},
		"queue gone": {false, func(q *queue, _ string) {
			_, err := q.inspector.DeleteAllPendingTasks(name(q))
			q.must(err)
			q.must(q.inspector.DeleteQueue(name(q), true))
		}},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			q := setupQueue(t)
			o := q.open("order", "receipt")
			q.put(o.ID, 1)
			c.happen(q, o.ID)
			q.later(q.set.Grace)
			if c.lives {
				q.quiet()
				return
			}
			q.repairs(o.ID, 2)
		})
	}
}

func TestDueScheduledTask(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o := q.open("order", "receipt")
	q.put(o.ID, 1, asynq.ProcessIn(time.Hour))
	q.later(q.set.Grace)
	q.quiet()
	q.must(q.rdb.Del(q.ctx, q.asynqKey("scheduled")).Err())
	q.later(q.set.Grace)
	q.repairs(o.ID, 2)
}

func TestDueActiveTask(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o := q.open("order", "receipt")
	q.put(o.ID, 1)
	got, end := q.serve()
	<-got
	q.later(q.set.Grace)
	q.quiet()
	// Stuck: no worker has it any more, and asynq will not take it back.
	q.must(q.rdb.ZRem(q.ctx, q.asynqKey("lease"), ledger.TaskID(o.ID, 1)).Err())
	q.later(q.set.Grace)
	q.repairs(o.ID, 2)
	end <- nil
}

// asynq's own server would keep the lease fresh, so the task is made active by hand, as its
// fetching does it.
func TestDueActiveTaskOfADeadWorker(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o := q.open("order", "receipt")
	q.put(o.ID, 1)
	task := ledger.TaskID(o.ID, 1)
	q.must(q.rdb.LMove(q.ctx, q.asynqKey("pending"), q.asynqKey("active"), "RIGHT", "LEFT").Err())
	q.must(q.rdb.HSet(q.ctx, q.asynqKey("t:"+task), "state", "active").Err())
	lease := func(ago time.Duration) {
		now, err := q.rdb.Time(q.ctx).Result()
		q.must(err)
		q.must(q.rdb.ZAdd(q.ctx, q.asynqKey("lease"), redisZ(float64(now.Add(-ago).Unix()), task)).Err())
	}
	q.later(q.set.Grace)
	lease(q.set.Grace / 2)
	q.quiet() // asynq may still find it
	lease(2 * q.set.Grace)
	q.later(q.set.Grace)
	q.repairs(o.ID, 2)
}

func TestDueTaskInRetry(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o := q.open("order", "receipt")
	q.put(o.ID, 1)
	got, end := q.serve()
	<-got
	q.attempt(o.ID, after(unavailable(), time.Hour))
	end <- io.ErrUnexpectedEOF
	q.eventually("the task is in retry", func() bool {
		n, err := q.rdb.ZCard(q.ctx, q.asynqKey("retry")).Result()
		q.must(err)
		return n == 1
	})
	q.quiet()
	q.later(time.Hour + q.set.Grace)
	q.quiet()
	q.must(q.rdb.Del(q.ctx, q.asynqKey("retry")).Err())
	q.later(q.set.Grace)
	q.repairs(o.ID, 2)
}

func TestDueTellsWhenTheNextAttemptIs(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	o := q.open("order", "receipt")
	q.attempt(o.ID, after(unavailable(), time.Hour))
	q.quiet() // its worker may be about to give its task back
	q.later(q.set.Grace)
	if r := q.repairs(o.ID, 2); r.Wait < 59*time.Minute || r.Wait > time.Hour {
		t.Fatalf("repair %+v, want a task that is due in an hour", r)
	}
}
