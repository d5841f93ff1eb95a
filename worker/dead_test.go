package worker_test

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

// vigilant has workers notice soon when another is dead.
func vigilant(b *bundle) {
	b.set.BeatEvery, b.set.DeadAfter = 50*time.Millisecond, 1500*time.Millisecond
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
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(4 * time.Second)})
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
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(5 * time.Second)})
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
