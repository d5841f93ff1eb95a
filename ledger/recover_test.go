package ledger_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// beat has a worker beat, and gives the signs of life of all.
func (q *queue) beat(instance string) ledger.Vitals {
	q.t.Helper()
	v, err := q.Beat(q.ctx, q.account, ledger.WorkerInfo{
		Instance: instance, Name: "w", Host: "h", Version: "v1", Concurrency: 16,
		LastBeat: ledger.Time{Time: time.UnixMilli(rand.Int64N(1e12))}, // another each time
	})
	q.must(err)
	return v
}

// sentBy begins an attempt by a worker, whose task it has taken up.
func (q *queue) sentBy(instance, order string) ledger.Running {
	q.t.Helper()
	id := q.enqueue(order, "receipt")
	q.takeUp(id)
	b, err := q.Begin(q.ctx, ledger.NewAttempt{ID: id, Generation: 1, Nonce: order, Worker: "w", Instance: instance, Lease: lease})
	q.must(err)
	if b.Answer != ledger.Started {
		q.t.Fatalf("begin %+v", b)
	}
	return b.Running
}

// takeUp does what asynq does when it fetches a task.
func (q *queue) takeUp(id string) {
	q.t.Helper()
	task := ledger.TaskID(id, 1)
	q.must(q.rdb.LRem(q.ctx, q.asynqKey("pending"), 0, task).Err())
	q.must(q.rdb.LPush(q.ctx, q.asynqKey("active"), task).Err())
	q.must(q.rdb.HSet(q.ctx, q.asynqKey("t:"+task), "state", "active").Err())
	q.must(q.rdb.ZAdd(q.ctx, q.asynqKey("lease"), redisZ(float64(time.Now().Add(30*time.Second).Unix()), task)).Err())
}

// recovered takes uploads back, and gives the ids of those that are to get a task of generation 2.
func (q *queue) recovered(silent ledger.Vitals) (ids []string) {
	q.t.Helper()
	found, err := q.Recover(q.ctx, q.account, silent)
	q.must(err)
	for _, r := range found {
		if r.Generation != 2 || r.Wait != 0 {
			q.t.Errorf("repair %+v, want generation 2 at once", r)
		}
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return ids
}

func (q *queue) active() []string {
	q.t.Helper()
	ids, err := q.rdb.LRange(q.ctx, q.asynqKey("active"), 0, -1).Result()
	q.must(err)
	return ids
}

func TestRecoverAttemptsOfADeadWorker(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	q.beat("dead")
	first, second := q.sentBy("dead", "order"), q.sentBy("dead", "another")
	live := q.sentBy("live", "order of a live worker")
	vitals := q.beat("live")
	if len(vitals.Beats) != 2 || len(vitals.Leases) != 3 || vitals.Now.IsZero() {
		t.Fatalf("vitals %+v, want two workers and three tasks", vitals)
	}
	silent := ledger.Vitals{Beats: map[string]string{"dead": vitals.Beats["dead"]}}
	want := []string{first.ID, second.ID}
	slices.Sort(want)
	if got := q.recovered(silent); !slices.Equal(got, want) {
		t.Fatalf("recovered %v, want %v", got, want)
	}
	if got := q.recovered(silent); len(got) > 0 {
		t.Fatalf("recovered again %v", got)
	}
	u := q.get(first.ID)
	if u.State != ledger.Waiting || len(u.Attempts) != 1 || u.Attempts[0].Outcome != ledger.OutcomeInterrupted || u.Generation != 2 {
		t.Fatalf("upload %+v, want it to wait, its attempt interrupted", u)
	}
	q.state(live.ID, ledger.Sending)
	if got := q.active(); !slices.Equal(got, []string{ledger.TaskID(live.ID, 1)}) {
		t.Errorf("active in asynq: %v, want only the live worker's", got)
	}
	// The worker was not dead but frozen.
	q.stopped(first.ID, 1, "old task", ledger.Stale)
	again := q.started(first.ID, 2, "n2")
	if rec := q.finish(first, requestID(unclear(), "late")); rec.How != "late" || rec.State != ledger.Sending {
		t.Fatalf("recorded %+v, want it late", rec)
	}
	q.finish(again, delivered("r"))
	q.finds("late", first.ID)
	if u = q.get(first.ID); u.State != ledger.Delivered || len(u.Attempts) != 2 || u.Attempts[0].Outcome != ledger.OutcomeUnclear {
		t.Errorf("upload %+v, want both attempts", u)
	}
}

func TestRecoverLeavesAloneWhatHasMoved(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	q.beat("w1")
	run := q.sentBy("w1", "order")
	waits := q.enqueue("another", "receipt")
	q.takeUp(waits)
	silent := q.beat("w2")
	q.beat("w1")
	for id := range silent.Leases {
		q.must(q.rdb.ZIncrBy(q.ctx, q.asynqKey("lease"), 5, id).Err())
	}
	if got := q.recovered(silent); len(got) > 0 {
		t.Fatalf("recovered %v from a worker that lives", got)
	}
	q.state(run.ID, ledger.Sending)
	if len(q.active()) != 2 {
		t.Errorf("active %v, want both", q.active())
	}
}

// A worker had taken up tasks and begun none: they waited for a slot, or for the breaker.
func TestRecoverTasksOfADeadWorker(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	waits, sent := q.enqueue("order", "receipt"), q.sentBy("live", "another")
	behind := q.enqueue("order", "second")
	q.takeUp(waits)
	foreign := "default-of-another.1"
	q.must(q.rdb.ZAdd(q.ctx, q.asynqKey("lease"), redisZ(1, foreign)).Err())
	silent := ledger.Vitals{Leases: q.beat("live").Leases}
	if len(silent.Leases) != 3 {
		t.Fatalf("leases %v, want three", silent.Leases)
	}
	if got := q.recovered(silent); !slices.Equal(got, []string{waits}) {
		t.Fatalf("recovered %v, want %s", got, waits)
	}
	q.state(behind, ledger.Queued)
	if got := q.active(); !slices.Equal(got, []string{ledger.TaskID(sent.ID, 1)}) {
		t.Errorf("active in asynq: %v, want only what is being sent", got)
	}
	q.started(waits, 2, "n")
}

// A worker lives and has given the task up, and asynq did not hear of it.
func TestRecoverTaskWhoseAttemptIsOver(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	sent := q.sentBy("live", "order")
	silent := ledger.Vitals{Leases: q.beat("live").Leases}
	q.later(2 * lease)
	if got := q.recovered(silent); !slices.Equal(got, []string{sent.ID}) {
		t.Fatalf("recovered %v, want %s", got, sent.ID)
	}
	if got := q.active(); len(got) > 0 {
		t.Errorf("active in asynq: %v", got)
	}
	if run := q.started(sent.ID, 2, "n"); !run.Interrupted {
		t.Errorf("running %+v, want the one before interrupted", run)
	}
}

func TestRecoverGivesTheProbeBack(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	q.trip(5, unavailable())
	q.bundle.pass()
	silent := q.beat("dead")
	if run := q.sentBy("dead", "order"); !run.Probe {
		t.Fatalf("running %+v, want the probe", run)
	}
	q.recovered(ledger.Vitals{Beats: silent.Beats})
	if b := q.breaker(); b.Reason == "" || b.Probing {
		t.Fatalf("breaker %+v, want it open, and nobody asking", b)
	}
	q.probe(delivered("r"))
	q.isClosed()
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	q := setupQueue(t)
	q.beat("b")
	q.beat("a")
	ws, err := q.Workers(q.ctx, q.account)
	q.must(err)
	if len(ws) != 2 || ws[0].Instance != "a" || ws[1].Instance != "b" || ws[0].Host != "h" || ws[0].Version != "v1" || ws[0].Concurrency != 16 {
		t.Errorf("workers %+v", ws)
	}
	if ws[0].LastBeat.IsZero() || ws[0].Live {
		t.Errorf("worker %+v, want to know of its first beat, and nothing of how long it may be silent", ws[0])
	}
	_, err = q.Beat(q.ctx, q.account, ledger.WorkerInfo{Instance: "live", DeadAfterMS: 60_000})
	q.must(err)
	old := ledger.Time{Time: ws[0].LastBeat.Add(-time.Minute)}
	_, err = q.Beat(q.ctx, q.account, ledger.WorkerInfo{Instance: "silent", DeadAfterMS: 60_000, StartedAt: old, LastBeat: old})
	q.must(err)
	ws, err = q.Workers(q.ctx, q.account)
	q.must(err)
	for _, w := range ws {
		if w.Live != (w.Instance == "live") {
			t.Errorf("worker %+v", w)
		}
	}
	q.must(q.rdb.HSet(q.ctx, q.prefix()+"workers", "c", "{").Err())
	if _, err := q.Workers(q.ctx, q.account); err == nil {
		t.Error("a beat that nobody can read is none")
	}
}
