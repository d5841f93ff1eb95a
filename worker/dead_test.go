package worker_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

// vigilant has workers notice soon when another is dead.
func vigilant(b *bundle) {
	b.set.BeatEvery, b.set.DeadAfter = 50*time.Millisecond, 3*time.Second
}

// TestUploadsOfADeadWorker has a worker die in mid-call: another takes its upload back, long before
// the lease of the attempt ends.
func TestUploadsOfADeadWorker(t *testing.T) {
	t.Parallel()
	b := setup(t, vigilant)
	id := b.enqueue("order", 1).ID
	_, err := b.ledger.Beat(b.ctx, b.account, ledger.WorkerInfo{Instance: "dead", Name: "w1"})
	b.must(err)
	begun, err := b.ledger.Begin(b.ctx, ledger.NewAttempt{
		ID: id, Generation: 1, Nonce: "n", Worker: "w1", Instance: "dead", Lease: time.Hour,
	})
	b.must(err)
	if begun.Answer != ledger.Started {
		t.Fatalf("begun %+v", begun)
	}
	b.start("w1") // of the same name
	b.reaches(ledger.Delivered, id)
	if got := b.outcomes(id); len(got) != 2 || got[0] != ledger.OutcomeInterrupted || got[1] != ledger.OutcomeDelivered {
		t.Errorf("outcomes %v, want interrupted and delivered", got)
	}
	ws, err := b.ledger.Workers(b.ctx, b.account)
	b.must(err)
	if len(ws) != 1 || ws[0].Name != "w1" || ws[0].Concurrency != b.conc || ws[0].StartedAt.IsZero() {
		t.Errorf("workers %+v, want only the one that lives", ws)
	}
}

// TestSlowCallOfALiveWorker has a call last far longer than a dead worker is waited for: while its
// worker beats nobody takes the upload.
func TestSlowCallOfALiveWorker(t *testing.T) {
	t.Parallel()
	b := setup(t, vigilant, func(b *bundle) { b.set.CallTimeout = 20 * time.Second })
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(8 * time.Second)})
	ids := b.many(1)
	b.start("w1")
	b.start("w2")
	b.reaches(ledger.Delivered, ids...)
	if n := len(b.api.Requests()); n != len(ids) {
		t.Errorf("%d requests for %d uploads", n, len(ids))
	}
	b.agree(ids...)
}

// TestNobodyIsDeadWhileRedisIsAway stops Redis for longer than a dead worker is waited for, in
// mid-call.
func TestNobodyIsDeadWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}), vigilant, func(b *bundle) { b.set.CallTimeout = 20 * time.Second })
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(8 * time.Second)})
	ids := b.many(1)
	b.start("w1")
	b.start("w2")
	b.eventually("the call is under way", func() bool { return len(b.api.Requests()) == 1 })
	s.Pause()
	b.eventually("the workers have missed their beats", func() bool { return b.logs.FilterMessage("worker.not_beating").Len() >= 2 })
	s.Resume()
	b.reaches(ledger.Delivered, ids...)
	if n := len(b.api.Requests()); n != len(ids) {
		t.Errorf("%d requests for %d uploads", n, len(ids))
	}
	b.agree(ids...)
}

// mute is a hook that keeps a worker's beats from Redis.
type mute struct{ atomic.Bool }

func (*mute) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*mute) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (m *mute) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if m.Load() && slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Name() == "hset" }) {
			return errAway
		}
		return next(ctx, cmds)
	}
}

// firstHangs is a blob store that gives its first voucher when the test says so.
type firstHangs struct {
	blob.Store

	asked atomic.Int64
	goOn  chan struct{}
}

func (f *firstHangs) Open(ctx context.Context, e blob.Entry) (io.ReadCloser, error) {
	r, err := f.Store.Open(ctx, e)
	if f.asked.Add(1) == 1 {
		<-f.goOn
	}
	return r, err
}

// TestSilentWorkerSendsNothing has a worker stand still between the beginning of an attempt and its
// call, until another has delivered the upload.
func TestSilentWorkerSendsNothing(t *testing.T) {
	t.Parallel()
	store := &firstHangs{goOn: make(chan struct{})}
	b := setup(t, vigilant, func(b *bundle) {
		dir, err := blob.OpenDir(b.ctx, b.t.TempDir())
		b.must(err)
		store.Store, b.store = dir, store
		b.set.CallTimeout = 20 * time.Second
	})
	loud, silent, m := b.ledger, b.redis(), &mute{}
	silent.AddHook(m)
	b.ledger = ledger.New(silent, b.ls)
	id := b.enqueue("order", 1).ID
	b.start("silent")
	b.eventually("it has begun", func() bool { return store.asked.Load() == 1 })
	silence := func() int { return b.logs.FilterMessage("worker.not_beating").Len() }
	before := silence()
	m.Store(true)
	b.eventually("it says that it does not beat", func() bool { return silence() > before })
	b.ledger = loud
	b.start("other")
	b.reaches(ledger.Delivered, id)
	close(store.goOn)
	b.eventually("it has recorded that it sent nothing", func() bool { return b.outcomes(id)[0] == ledger.OutcomeUnavailable })
	accepted := 0
	for _, r := range b.api.Requests() {
		if r.Accepted {
			accepted++
		}
	}
	if u := b.get(id); accepted != 1 || u.State != ledger.Delivered || len(u.Attempts) != 2 {
		t.Errorf("accepted %d times; upload %+v", accepted, u)
	}
}

// TestUnknownWorkerTakesNothing has a worker whose beats never arrive: what it took up nobody could
// take back, so it takes up nothing until one has arrived.
func TestUnknownWorkerTakesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, vigilant)
	loud, silent, m := b.ledger, b.redis(), &mute{}
	m.Store(true)
	silent.AddHook(m)
	b.ledger = ledger.New(silent, b.ls)
	first := b.enqueue("order", 1).ID
	b.start("silent")
	b.eventually("it says that it does not beat", func() bool { return b.logs.FilterMessage("worker.not_beating").Len() == 1 })
	b.ledger = loud
	stop := b.start("other")
	b.reaches(ledger.Delivered, first)
	stop()
	m.Store(false)
	second := b.enqueue("order", 2).ID
	b.reaches(ledger.Delivered, second)
	for id, by := range map[string]string{first: "other", second: "silent"} {
		if as := b.get(id).Attempts; len(as) != 1 || as[0].Worker != by {
			t.Errorf("attempts %+v, want one by %s", as, by)
		}
	}
}

// deaf is a hook that loses the first reply that brings tasks.
type deaf struct{ lost atomic.Int64 }

func (*deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		taken, _ := cmd.(*redis.Cmd)
		if taken == nil || len(cmd.Args()) < 4 || !strings.HasSuffix(fmt.Sprint(cmd.Args()[3]), ":pending") {
			return err
		}
		if found, _ := taken.Slice(); len(found) > 0 && d.lost.CompareAndSwap(0, int64(len(found))) {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		return err
	}
}

func (*deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestTasksWhoseReplyWasLost cuts a connection after Redis has handed out tasks and before the worker
// hears of them. Nobody renews their leases, so they come back long before these end.
func TestTasksWhoseReplyWasLost(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.set.BeatEvery = 50 * time.Millisecond })
	ids, ear, plain := b.many(8), &deaf{}, b.redis
	b.redis = func() *redis.Client {
		rdb := plain()
		rdb.AddHook(ear)
		return rdb
	}
	began := time.Now()
	b.start("w1")
	b.reaches(ledger.Delivered, ids...)
	if took := time.Since(began); ear.lost.Load() == 0 || took > 25*time.Second {
		t.Errorf("%d tasks were lost; all are delivered after %v", ear.lost.Load(), took)
	}
	if n := len(b.api.Requests()); n != len(ids) {
		t.Errorf("%d requests for %d uploads", n, len(ids))
	}
}
