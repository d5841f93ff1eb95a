package worker_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

// ownRedis gives the test a Redis server of its own, to be killed.
func ownRedis(s **redistest.Server, o redistest.Options) option {
	return func(b *bundle) {
		*s = redistest.Start(b.t, o)
		b.redis = func() *redis.Client { return (*s).Client() }
	}
}

func TestRedisKilledAndBack(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{AOF: true}))
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(100 * time.Millisecond)})
	ids := b.many(200)
	b.start("w1")
	b.start("w2")
	b.eventually("some are delivered", func() bool { return len(b.api.Requests()) > 20 })
	s.Kill()
	b.eventually("the worker says so", func() bool { return b.logs.FilterMessage("ledger.unreachable").Len() > 0 })
	s.Restart()
	b.reaches(ledger.Delivered, ids...)
	b.agree(ids...)
}

func TestOutcomeSurvivesRedisPause(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{AOF: true}), func(b *bundle) { b.set.RedisTimeout = 200 * time.Millisecond })
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(300 * time.Millisecond)})
	u := b.enqueue("order", 1)
	b.start("w1")
	b.eventually("the call is under way", func() bool { return len(b.api.Requests()) == 1 })
	s.Pause()
	b.eventually("the API has answered", func() bool { return !b.api.Requests()[0].AnsweredAt.IsZero() })
	s.Resume()
	b.reaches(ledger.Delivered, u.ID)
	if n := len(b.api.Requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestFlushedQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.many(30)
	b.must(asynq.NewInspectorFromRedisClient(b.rdb).DeleteQueue(ledger.Queue(b.account), true))
	b.start("w1")
	b.reaches(ledger.Delivered, ids...)
	b.eventually("the worker says so", func() bool { return b.logs.FilterMessage("reconciler.repaired").Len() > 0 })
	b.agree(ids...)
}

func TestArchivedAndStuckTasks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.many(3)
	inspector := asynq.NewInspectorFromRedisClient(b.rdb)
	queue := ledger.Queue(b.account)
	b.must(inspector.ArchiveTask(queue, ledger.TaskID(ids[0], 1)))
	// A task that a failing script of asynq's left active, without a lease.
	id := ledger.TaskID(ids[1], 1)
	b.must(b.rdb.LRem(b.ctx, "asynq:{"+queue+"}:pending", 0, id).Err())
	b.must(b.rdb.HSet(b.ctx, "asynq:{"+queue+"}:t:"+id, "state", "active").Err())
	b.start("w1")
	b.reaches(ledger.Delivered, ids...)
}

func TestStopGivesBackAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, timeToStop)
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	b.ls.Breaker.OutageBase = time.Minute
	b.ledger = ledger.New(b.rdb, b.ls)
	ids := b.many(10)
	stop := b.start("w1")
	b.eventually("the breaker is open", func() bool { return b.breakerReason() == "outage" })
	began := time.Now()
	stop()
	if took := time.Since(began); took > atOnce {
		t.Errorf("stopping took %v with tasks that only wait", took)
	}
	info := b.info()
	if info.Active != 0 || info.Archived != 0 || info.Pending+info.Retry != len(ids) {
		t.Errorf("after the stop: %+v", info)
	}
}

func TestStopLetsRunningAttemptsFinish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(time.Second)})
	u := b.enqueue("order", 1)
	stop := b.start("w1")
	b.eventually("the call is under way", func() bool { return len(b.api.Requests()) == 1 })
	stop()
	if got := b.get(u.ID); got.State != ledger.Delivered || len(got.Attempts) != 1 {
		t.Errorf("after the stop: %+v", got)
	}
}
