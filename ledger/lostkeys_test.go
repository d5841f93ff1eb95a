package ledger_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// remade is whether a key can be made anew from the records: all can but those, and the bytes
// beside them.
func remade(name string) bool {
	return !strings.HasPrefix(name, "u:") && !strings.HasPrefix(name, "v:")
}

// lose deletes keys of the account, and of its queue.
func (q *queue) lose(names ...string) {
	q.t.Helper()
	for _, name := range names {
		if key, ok := strings.CutPrefix(name, "asynq:"); ok {
			q.must(q.rdb.Del(q.ctx, q.asynqKey(key)).Err())
		} else {
			q.must(q.rdb.Del(q.ctx, q.prefix()+name).Err())
		}
	}
}

// reconcile does what a worker's reconciler does in an hour, and gives how many tasks it put.
func (q *queue) reconcile() (put int) {
	q.t.Helper()
	q.later(time.Hour)
	for range 2 { // a lost order queue is put back before anything of it is delivered
		for cursor := "sending:0"; cursor != ""; {
			found, err := q.Sweep(q.ctx, q.account, cursor, 50)
			q.must(err)
			for _, r := range found.Repairs {
				q.put(r.ID, r.Generation)
			}
			put, cursor = put+len(found.Repairs), found.Cursor
		}
	}
	return put
}

// deliver does what the workers do with the tasks that are there, until there are none.
func (q *queue) deliver() {
	q.t.Helper()
	for {
		task, err := q.rdb.RPop(q.ctx, q.asynqKey("pending")).Result()
		if errors.Is(err, redis.Nil) {
			return
		}
		q.must(err)
		known, err := q.rdb.Del(q.ctx, q.asynqKey("t:"+task)).Result()
		q.must(err)
		if known == 0 {
			continue // asynq fetches nothing where the task itself is lost
		}
		id, number, _ := strings.Cut(task, ".")
		generation, err := strconv.ParseInt(number, 10, 64)
		q.must(err)
		b := q.begin(id, generation, task)
		if b.Answer != ledger.Started {
			continue
		}
		if rec := q.finish(b.Running, delivered(task)); rec.NextID != "" {
			q.put(rec.NextID, rec.NextGen)
		}
	}
}

// enqueue opens an upload and puts its task.
func (q *queue) enqueue(order, content string) string {
	q.t.Helper()
	o := q.open(order, content)
	if o.Generation > 0 {
		q.put(o.ID, o.Generation)
	}
	return o.ID
}

func TestLostKeys(t *testing.T) {
	t.Parallel()
	cases := map[string]func(q *queue, id string) []string{
		"task": func(_ *queue, id string) []string {
			return []string{"asynq:t:" + ledger.TaskID(id, 1), "asynq:pending"}
		},
		"order queue": func(*queue, string) []string { return []string{"o:order"} },
		"state":       func(*queue, string) []string { return []string{"s:queued"} },
		"every index": func(*queue, string) []string {
			return []string{"s:queued", "s:behind", "o:order", "o:another", "asynq:pending"}
		},
	}
	for name, keys := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := setupQueue(t)
			var ids []string
			for i := range 3 {
				ids = append(ids, q.enqueue("order", strconv.Itoa(i)))
			}
			ids = append(ids, q.enqueue("another", "receipt"))
			q.lose(keys(q, ids[0])...)
			q.reconcile()
			var order []string
			for _, id := range ids[:3] {
				u := q.get(id)
				order = append(order, strconv.FormatBool(u.Generation > 0))
			}
			if got := strings.Join(order, " "); got != "true false false" {
				t.Fatalf("has a task: %s, want the first of the order to have one", got)
			}
			q.deliver()
			for _, id := range ids {
				q.state(id, ledger.Delivered)
			}
		})
	}
}

// A record is lost, and its voucher is enqueued again: its own former entries must not stand in its
// way.
func TestLostRecordEnqueuedAgain(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	first, second := q.enqueue("order", "1"), q.enqueue("order", "2")
	q.lose("u:"+q.key(first), "u:"+q.key(second))
	if again := q.enqueue("order", "2"); again != second || q.get(again).Generation == 0 {
		t.Fatalf("upload %+v, want it to be the head: the other has no record", q.get(again))
	}
	q.deliver()
	q.state(second, ledger.Delivered)
	q.enqueue("order", "1")
	q.reconcile()
	q.deliver()
	q.state(first, ledger.Delivered)
}

// A task whose list was lost is missed even while others come and go in that list.
func TestLostListOfPendingTasks(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	lost := q.enqueue("order", "receipt")
	q.lose("asynq:pending")
	since, err := q.rdb.HGet(q.ctx, q.asynqKey("t:"+ledger.TaskID(lost, 1)), "pending_since").Int64()
	q.must(err)
	q.must(q.rdb.HSet(q.ctx, q.asynqKey("t:"+ledger.TaskID(lost, 1)), "pending_since", since-2*q.set.Grace.Nanoseconds()).Err())
	lively := q.enqueue("another", "receipt")
	q.later(q.set.Grace)
	q.repairs(lost, 2)
	if u := q.get(lively); u.Generation != 1 {
		t.Errorf("upload %+v, want it left alone", u)
	}
}

// Whatever keys are lost but the records of uploads and their bytes: everything is delivered.
func TestLostKeysAtRandom(t *testing.T) {
	t.Parallel()
	own := redistest.Start(t, redistest.Options{}).Client() // later looks at all its keys, Find at all its accounts
	rapid.Check(t, func(rt *rapid.T) {
		q := queueOf(newBundle(t, own, ledger.Settings{}))
		ids := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(rt, "uploads") {
			order := fmt.Sprint("order-", rapid.IntRange(1, 4).Draw(rt, "order"))
			id := q.enqueue(order, strconv.Itoa(rapid.IntRange(1, 5).Draw(rt, "voucher")))
			ids[id] = true
			outcome := rapid.SampledFrom([]ledger.AttemptResult{unavailable(), delivered("r"), unclear()}).Draw(rt, "outcome")
			if u := q.get(id); rapid.Bool().Draw(rt, "attempt") && u.Generation > 0 && !u.State.Final() {
				b := q.begin(id, u.Generation, id+rapid.StringMatching(`[a-z]{8}`).Draw(rt, "nonce"))
				if b.Answer == ledger.Started && rapid.Bool().Draw(rt, "ends") {
					q.finish(b.Running, outcome)
				}
			}
		}
		var names []string
		for _, name := range q.keys() {
			if remade(name) {
				names = append(names, name)
			}
		}
		keys, err := q.rdb.Keys(q.ctx, q.asynqKey("*")).Result()
		q.must(err)
		for _, key := range keys {
			names = append(names, "asynq:"+strings.TrimPrefix(key, q.asynqKey("")))
		}
		q.lose(rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(rt, "lost")...)
		q.must(q.rdb.SAdd(q.ctx, "asynq:queues", ledger.Queue(q.account)).Err()) // a worker's reconciler does
		q.deliver()
		for q.reconcile() > 0 {
			q.deliver()
		}
		for id := range ids {
			if u := q.get(id); u.State != ledger.Delivered {
				rt.Fatalf("upload %+v, want it delivered", u)
			}
			if _, err = q.Find(q.ctx, q.get(id).OrderID); err != nil {
				rt.Fatalf("the order of %s is not found: %v", id, err)
			}
		}
		counts, err := q.Counts(q.ctx, q.account)
		q.must(err)
		if got := counts.ByState[ledger.Delivered]; got != int64(len(ids)) || counts.Unfinished() != 0 {
			rt.Fatalf("counts %+v, want %d delivered and nothing else", counts, len(ids))
		}
		q.must(own.FlushDB(q.ctx).Err())
	})
}
