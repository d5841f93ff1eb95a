package ledger_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/ledger"
)

func TestBeginIsRepeatable(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	first := b.started(o.ID, 1, "n1")
	again := b.started(o.ID, 1, "n1")
	again.Age, first.Age = 0, 0
	if !cmp.Equal(again, first) {
		t.Fatalf("repeated: %+v, want %+v", again, first)
	}
	if u := b.get(o.ID); u.AttemptCount != 1 || len(u.Attempts) != 1 || u.State != ledger.Sending {
		t.Fatalf("upload %+v, want one attempt", u)
	}
}

func TestBeginWritesTheAttemptDown(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	g, err := b.Begin(b.ctx, ledger.NewAttempt{ID: o.ID, Generation: 1, Nonce: "n1", Worker: "host\t1\n", Lease: lease})
	b.must(err)
	as := b.get(o.ID).Attempts
	want := ledger.Attempt{Number: 1, Generation: 1, StartedAt: g.Running.StartedAt, Nonce: "n1", Worker: "host 1 "}
	if len(as) != 1 || as[0] != want {
		t.Fatalf("attempts %+v, want %+v", as, want)
	}
}

func TestBeginStale(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	head, behind := b.open("order", "1"), b.open("order", "2")
	done := b.open("order-2", "1")
	b.attempt(done.ID, delivered("r"))
	cases := []struct {
		name, id   string
		generation int64
		want       string
	}{
		{"no id", "nonsense", 1, "unknown"},
		{"unknown", ledger.UploadID(b.account, "", "order", hash("x")), 1, "unknown"},
		{"newer generation", head.ID, 2, "generation"},
		{"older generation", head.ID, 0, "generation"},
		{"behind in line", behind.ID, 1, "generation"},
		{"ended", done.ID, 1, "delivered"},
	}
	for _, c := range cases {
		if h := b.stopped(c.id, c.generation, "n", ledger.Stale); h.Reason != c.want {
			t.Errorf("%s: stale for %q, want %q", c.name, h.Reason, c.want)
		}
	}
	if u := b.get(head.ID); u.AttemptCount != 0 {
		t.Errorf("attempts %d, want none", u.AttemptCount)
	}
}

// A reopened upload that waits in its order queue keeps its old generation until it is the head:
// its old task must not start it.
func TestBeginStaleBehindInLine(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	first := b.open("order", "1")
	b.open("order", "2")
	b.attempt(first.ID, final())
	b.reopen(first.ID)
	if h := b.stopped(first.ID, 1, "n", ledger.Stale); h.Reason != "order queue" {
		t.Fatalf("stale for %q, want the order queue", h.Reason)
	}
}

func TestBeginBusyUntilTheLeaseEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.started(o.ID, 1, "n1")
	if h := b.stopped(o.ID, 1, "n2", ledger.Busy); h.For <= lease-10*time.Second || h.For > lease {
		t.Fatalf("busy for %v, want about %v", h.For, lease)
	}
	b.later(lease)
	run := b.started(o.ID, 1, "n2")
	if run.Number != 2 || !run.Interrupted || run.Unanswered != 1 {
		t.Fatalf("running %+v, want number 2 after one that was cut off", run)
	}
	as := b.get(o.ID).Attempts
	if as[0].Outcome != ledger.OutcomeInterrupted || as[0].EndedAt.IsZero() || as[1].Outcome != "" {
		t.Fatalf("attempts %+v, want the first interrupted", as)
	}
}

func TestBeginEarly(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.attempt(o.ID, after(unavailable(), time.Hour))
	if h := b.stopped(o.ID, 1, "n2", ledger.Early); h.For <= 59*time.Minute || h.For > time.Hour {
		t.Fatalf("early by %v, want about an hour", h.For)
	}
	// asynq's times have a grain of a second.
	b.later(time.Hour - time.Second)
	b.started(o.ID, 1, "n2")
}

func TestBeginNewerRecord(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	b.must(b.rdb.HSet(b.ctx, b.prefix()+"u:"+b.key(o.ID), "v", 2).Err())
	_, err := b.Begin(b.ctx, ledger.NewAttempt{ID: o.ID, Generation: 1, Nonce: "n", Lease: lease})
	if !errors.Is(err, ledger.ErrNewerRecord) {
		t.Fatalf("begin: %v, want ErrNewerRecord", err)
	}
}

func TestBeginOneOfMany(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	var started, busy atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			a := ledger.NewAttempt{ID: o.ID, Generation: 1, Nonce: strconv.Itoa(i), Worker: "w", Lease: lease}
			g, err := b.Begin(b.ctx, a)
			switch {
			case err != nil:
				t.Error(err)
			case g.Answer == ledger.Started:
				started.Add(1)
			case g.Answer == ledger.Busy:
				busy.Add(1)
			}
		})
	}
	wg.Wait()
	if started.Load() != 1 || busy.Load() != 7 {
		t.Fatalf("%d started and %d busy, want 1 and 7", started.Load(), busy.Load())
	}
}

func TestAttemptsAreTrimmedAndCounted(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	o := b.open("order", "receipt")
	const n = ledger.KeptAttempts + 7
	for i := range n {
		b.attempt(o.ID, requestID(refused(ledger.FaultNone), "req-"+strconv.Itoa(i+1)))
	}
	u := b.get(o.ID)
	if u.AttemptCount != n || len(u.Attempts) != ledger.KeptAttempts || u.Attempts[0].Number != 8 {
		t.Fatalf("%d attempts, %d kept from number %d on", u.AttemptCount, len(u.Attempts), u.Attempts[0].Number)
	}
	for i := range n {
		b.finds("req-"+strconv.Itoa(i+1), o.ID)
	}
}
