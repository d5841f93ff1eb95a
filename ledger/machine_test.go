package ledger_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/voucherd/voucherd/ledger"
)

// machine does the same to a ledger and to its model.
type machine struct {
	*bundle
	*model

	attempts []*modelAttempt // all that ever started and were not released
	made     int
	lossy    bool // this run loses replies
}

func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"open":      m.doOpen,
		"begin":     m.doBegin,
		"begin 2":   m.doBegin, // oftener than the rest
		"finish":    m.doFinish,
		"finish 2":  m.doFinish,
		"release":   m.doRelease,
		"reopen":    m.doReopen,
		"discard":   m.doDiscard,
		"reconcile": m.doReconcile,
		"time":      func(*rapid.T) { m.pass2h() },
		"":          m.check,
	}
}

// pass2h lets every lease, delay and hold end: what runs and never finishes was cut off by a crash.
func (m *machine) pass2h() {
	m.later(2 * time.Hour)
	for _, u := range m.uploads {
		u.early = false
		u.lapsed = u.state == ledger.Sending
	}
}

// name gives something that was not there before.
func (m *machine) name(what string) string {
	m.made++
	return fmt.Sprint(what, "-", m.made)
}

func (m *machine) doOpen(t *rapid.T) {
	n := m.upload(
		rapid.SampledFrom([]string{"order-a", "order-b"}).Draw(t, "order"), rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "voucher"))
	n.StoreKey = m.name("store")
	n.Again, n.Replace = rapid.Bool().Draw(t, "again"), rapid.IntRange(0, 3).Draw(t, "replace") == 0
	got, want := m.openAs(n), m.model.open(n)
	if m.lossy && !got.Duplicate {
		// The second execution finds the first one's voucher; it cannot say what the first one
		// dropped, or revived.
		want.Drop, want.Revived = "", false
	}
	if got != want {
		t.Fatalf("open %s: %+v, want %+v", n.OrderID, got, want)
	}
}

// anyUpload draws one of the uploads; nil when there is none.
func (m *machine) anyUpload(t *rapid.T) *modelUpload {
	if len(m.uploads) == 0 {
		t.Skip("no upload yet")
	}
	ids := slices.Sorted(maps.Keys(m.uploads))
	return m.uploads[rapid.SampledFrom(ids).Draw(t, "upload")]
}

func (m *machine) doBegin(t *rapid.T) {
	u := m.anyUpload(t)
	generation := u.generation - int64(max(0, rapid.IntRange(-6, 1).Draw(t, "generations ago")))
	breaker := m.breaker()
	got := m.bundle.begin(u.id, generation, m.name("nonce"))
	want := m.model.begin(u, generation)
	if breaker.Reason != "" && want == ledger.Started && got.Answer != ledger.Started {
		if breaker.Wait == 0 && !breaker.Probing || got.Answer != ledger.BreakerOpen && got.Answer != ledger.Early {
			t.Fatalf("begin: %+v at the breaker %+v", got, breaker)
		}
		return
	}
	if got.Answer != want {
		t.Fatalf("begin %s generation %d: %+v, want %s", u.id, generation, got, want)
	}
	if want != ledger.Started {
		return
	}
	if run := got.Running; run.Number != len(u.attempts)+1 || run.Refusals != u.refusals || run.Probe != (breaker.Reason != "") ||
		run.StoreKey != u.store || run.Interrupted != (u.state == ledger.Sending) && !m.lossy {
		t.Fatalf("running %+v, upload %+v, breaker %+v", run, u, breaker)
	}
	m.attempts = append(m.attempts, m.model.started(u, got.Running))
}

// anyAttempt draws one of all attempts, more often a younger one.
func (m *machine) anyAttempt(t *rapid.T) *modelAttempt {
	if len(m.attempts) == 0 {
		t.Skip("no attempt yet")
	}
	ago := min(rapid.IntRange(1, len(m.attempts)).Draw(t, "ago"), rapid.IntRange(1, len(m.attempts)).Draw(t, "or"))
	return m.attempts[len(m.attempts)-ago]
}

func (m *machine) doFinish(t *rapid.T) {
	a := m.anyAttempt(t)
	o := requestID(rapid.SampledFrom([]ledger.AttemptResult{
		delivered(""), unavailable(), unclear(), throttled(0), throttled(time.Second), final(), invalid(),
		refused(ledger.FaultCredentials), refused(ledger.FaultEndpoint), refused(ledger.FaultRefusing), refused(ledger.FaultRefusing),
		next(refused(ledger.FaultRefusing), ledger.Rejected), next(unavailable(), ledger.Expired), after(unavailable(), time.Hour),
	}).Draw(t, "outcome"), m.name("request"))
	nonce, err := m.rdb.HGet(m.ctx, m.prefix()+"breaker", "probe").Result()
	probe := err == nil && nonce == a.run.Nonce
	counts := a.outcome == "" || a.outcome == ledger.OutcomeInterrupted
	behind := a.upload.place > 0 && m.head(a.upload.order) != a.upload // which then has its task already
	rec := m.bundle.finish(a.run, o)
	account := rec.Account
	if m.lossy { // … and with it, whether it was taken for the account's: that nothing was spent tells it
		account = counts && o.Outcome == ledger.OutcomeThrottled ||
			counts && o.Outcome == ledger.OutcomeRefused && !probe && m.get(a.upload.id).Refusals == a.upload.refusals
	}
	how := m.model.finish(a, o, account, probe)
	if rec.How != how && !m.lossy || rec.State != a.upload.state {
		t.Fatalf("finish attempt %d of %s: %+v, want %s and state %s", a.run.Number, a.upload.id, rec, how, a.upload.state)
	}
	if head := m.head(a.upload.order); rec.State.Final() && !behind && head != nil && (rec.NextID != head.id || rec.NextGen != head.generation) {
		t.Fatalf("finish: next %s generation %d, want %+v", rec.NextID, rec.NextGen, head)
	}
}

func (m *machine) doRelease(t *rapid.T) {
	a := m.anyAttempt(t)
	if a.outcome != "" {
		t.Skip("it has sent something")
	}
	m.must(m.Release(m.ctx, a.run, rapid.SampledFrom([]string{"", ledger.ReasonStore, ledger.ReasonIdentity}).Draw(t, "hold")))
	m.released(a)
	m.attempts = slices.DeleteFunc(m.attempts, func(b *modelAttempt) bool { return a == b })
}

func (m *machine) doReopen(t *rapid.T) {
	u := m.anyUpload(t)
	got, err := m.Reopen(m.ctx, u.id, ledger.Who{})
	switch u.state {
	case ledger.Queued, ledger.Waiting:
		u.early = u.early && u.state == ledger.Queued
		if m.head(u.order) == u {
			u.generation++
		}
	case ledger.Rejected, ledger.Expired:
		u.refusals = 0
		m.join(u)
	case ledger.Sending, ledger.Delivered, ledger.Discarded:
		var e *ledger.StateError
		if !errors.As(err, &e) || e.State != u.state {
			t.Fatalf("reopen what is %s: %+v, %v", u.state, got, err)
		}
		return
	}
	u.done = append(u.done, ledger.ActionRetry)
	want := int64(0)
	if m.head(u.order) == u {
		want = u.generation
	}
	if err != nil || got.Generation != want {
		t.Fatalf("reopen: %+v, %v, want generation %d", got, err, want)
	}
}

func (m *machine) doDiscard(t *rapid.T) {
	u := m.anyUpload(t)
	got, _, err := m.Discard(m.ctx, u.id, ledger.Who{})
	if u.state == ledger.Delivered || u.state == ledger.Sending && !u.lapsed {
		if !errors.Is(err, ledger.ErrNotAllowed) {
			t.Fatalf("discard what is %s: %+v, %v", u.state, got, err)
		}
		return
	}
	if u.state != ledger.Discarded {
		m.end(u, ledger.Discarded)
		u.done = append(u.done, ledger.ActionDiscard)
	}
	want := ledger.Task{}
	if head := m.head(u.order); head != nil {
		want = ledger.Task{ID: head.id, Generation: head.generation}
	}
	if err != nil || got != want {
		t.Fatalf("discard: next %+v, %v, want %+v", got, err, want)
	}
}

// doReconcile looks when every look is due, and asynq has lost all tasks: every head gets one.
func (m *machine) doReconcile(t *rapid.T) {
	m.pass2h()
	var want []ledger.Task
	for _, u := range m.uploads {
		if u == m.head(u.order) {
			u.generation++
			want = append(want, ledger.Task{ID: u.id, Generation: u.generation})
		}
	}
	var got []ledger.Task
	for cursor := ""; cursor != ledger.SweepRecords; {
		found, err := m.Sweep(m.ctx, m.account, cursor, 500)
		m.must(err)
		for _, r := range found.Repairs {
			got = append(got, r.Task)
		}
		cursor = found.Cursor
	}
	if m.lossy {
		return // the first execution gave the tasks their generations; the second found nothing more to do
	}
	byID := func(a, b ledger.Task) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	if !slices.Equal(got, want) {
		t.Fatalf("repairs %+v, want %+v", got, want)
	}
}
