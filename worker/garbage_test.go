package worker_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// asynqKey is a key of the account's queue.
func (b *bundle) asynqKey(name string) string {
	return "asynq:{" + ledger.Queue(b.account) + "}:" + name
}

// left counts what asynq holds of the account's queue, in whatever state.
func (b *bundle) left() int64 {
	b.t.Helper()
	n := b.rdb.LLen(b.ctx, b.asynqKey("pending")).Val() + b.rdb.LLen(b.ctx, b.asynqKey("active")).Val()
	for _, set := range []string{"lease", "retry", "scheduled", "archived", "completed"} {
		n += b.rdb.ZCard(b.ctx, b.asynqKey(set)).Val()
	}
	hashes, err := b.rdb.Keys(b.ctx, b.asynqKey("t:*")).Result()
	b.must(err)
	return n + int64(len(hashes))
}

// TestForeignTasksAreDropped puts tasks by hand that asynq can read and nobody can deliver.
func TestForeignTasksAreDropped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind string
		payload    func(theirs ledger.Upload) []byte
	}{
		{"no JSON", tasks.TypeUpload, func(ledger.Upload) []byte { return []byte("\xff{") }},
		{"another type", "email:send", func(u ledger.Upload) []byte { return tasks.Payload{ID: u.ID, Generation: 1}.Encode() }},
		{"no upload id", tasks.TypeUpload, func(ledger.Upload) []byte { return []byte(`{"v":1,"id":"x","gen":1}`) }},
		{"another account's upload", tasks.TypeUpload, func(u ledger.Upload) []byte {
			return tasks.Payload{ID: u.ID, Generation: u.Generation}.Encode()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, other := setup(t), redistest.Account(t)
			theirs, err := b.client.Enqueue(b.ctx, tasks.Request{Account: other, OrderID: "order", Voucher: bytes.NewReader(voucher(1))})
			b.must(err)
			_, err = asynq.NewClientFromRedisClient(b.rdb).EnqueueContext(b.ctx,
				asynq.NewTask(c.kind, c.payload(theirs)), asynq.Queue(ledger.Queue(b.account)))
			b.must(err)
			b.start("w1")
			b.eventually("it is dropped", func() bool { return b.left() == 0 })
			if n := b.logs.FilterMessage("task.unreadable").Len(); n != 1 {
				t.Errorf("%d lines about it, want 1", n)
			}
			if n := len(b.api.Requests()); n != 0 {
				t.Errorf("%d requests were sent for it", n)
			}
			if got := b.get(theirs.ID); got.State != ledger.Queued || got.AttemptCount != 0 {
				t.Errorf("the other account's upload is now %+v", got)
			}
		})
	}
}

// TestUnknownUploadIsDropped has a task of an upload that the ledger does not know.
func TestUnknownUploadIsDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.putRaw("x", tasks.Payload{ID: ledger.UploadID(b.account, "", "order", "none"), Generation: 1}.Encode())
	b.start("w1")
	b.eventually("it is dropped", func() bool { return b.left() == 0 })
}

// TestUndecodableTasksAreRemoved pushes what asynq itself cannot read: it takes each into its
// active list and never ends it.
func TestUndecodableTasksAreRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hash := func(msg string) func(key string) {
		return func(key string) { b.must(b.rdb.HSet(b.ctx, key, "msg", msg, "state", "pending").Err()) }
	}
	garbage := map[string]func(key string){
		"no hash":          func(string) {},
		"no message":       func(key string) { b.must(b.rdb.HSet(b.ctx, key, "state", "pending").Err()) },
		"not protobuf":     hash("\xff\xff garbage"),
		"an empty message": hash(""), // asynq reads it, and then looks for it in a queue without a name
		"not a hash":       func(key string) { b.must(b.rdb.Set(b.ctx, key, "x", 0).Err()) },
	}
	b.must(b.rdb.SAdd(b.ctx, "asynq:queues", ledger.Queue(b.account)).Err())
	for id, put := range garbage {
		put(b.asynqKey("t:" + id))
		b.must(b.rdb.LPush(b.ctx, b.asynqKey("pending"), id).Err())
	}
	good := b.many(3)
	b.start("w1")
	b.reaches(ledger.Delivered, good...)
	active := func() int64 { return b.rdb.LLen(b.ctx, b.asynqKey("active")).Val() }
	b.eventually("all are taken up, and the one without a lease is removed", func() bool {
		return b.rdb.LLen(b.ctx, b.asynqKey("pending")).Val() == 0 && active() == int64(len(garbage)-1)
	})
	// Their leases have run out long ago.
	past := float64(time.Now().Add(-10 * time.Minute).Unix())
	for id := range garbage {
		b.must(b.rdb.ZAddXX(b.ctx, b.asynqKey("lease"), redis.Z{Score: past, Member: id}).Err())
	}
	b.eventually("all are removed", func() bool { return b.left() == 0 })
	b.eventually("the log tells of all", func() bool {
		removed := 0
		for _, line := range b.logs.FilterMessage("reconciler.removed").All() {
			n, _ := line.ContextMap()["tasks"].(int64)
			removed += int(n)
		}
		return removed == len(garbage)
	})
}
