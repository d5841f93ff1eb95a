package ledger_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// model is what the ledger should know, in plain Go. Its machine (machine_test.go) does the same to
// both.
type model struct {
	uploads map[string]*modelUpload
	seq     int
}

type modelUpload struct {
	id, order, store string
	state, was       ledger.State
	generation       int64
	place            int // in its order queue; 0: it has ended
	refusals         int
	early            bool // its next attempt is not due yet
	lapsed           bool // the lease of its attempt is over
	attempts         []*modelAttempt
	running          *modelAttempt
	done             []string // by people
}

type modelAttempt struct {
	upload  *modelUpload
	run     ledger.Running
	outcome ledger.Outcome
	request string
}

// head gives the upload of an order that comes first.
func (m *model) head(order string) *modelUpload {
	var first *modelUpload
	for _, u := range m.uploads {
		if u.order == order && u.place > 0 && (first == nil || u.place < first.place) {
			first = u
		}
	}
	return first
}

// line gives those of an order that have not ended, in order.
func (m *model) line(order string) []*modelUpload {
	var line []*modelUpload
	for range m.uploads {
		var first *modelUpload
		for _, u := range m.uploads {
			if u.order == order && u.place > 0 && (first == nil || u.place < first.place) &&
				(len(line) == 0 || u.place > line[len(line)-1].place) {
				first = u
			}
		}
		if first != nil {
			line = append(line, first)
		}
	}
	return line
}

func (m *model) join(u *modelUpload) {
	m.seq++
	u.place, u.state = m.seq, ledger.Queued
	if m.head(u.order) == u {
		u.generation++
	}
}

func (m *model) end(u *modelUpload, state ledger.State) {
	first := m.head(u.order) == u
	if u.running != nil && u.running.outcome == "" {
		u.running.outcome = ledger.OutcomeInterrupted
	}
	u.state, u.place, u.running, u.early = state, 0, nil, false
	if next := m.head(u.order); first && next != nil {
		next.generation++
	}
}

// open gives what Open should say.
func (m *model) open(n ledger.NewUpload) ledger.Opened {
	id := ledger.UploadID(n.Account, n.UserID, n.OrderID, n.SHA256)
	u := m.uploads[id]
	if u != nil && u.state.Final() && !n.Again {
		return ledger.Opened{ID: id, Duplicate: true, Drop: n.StoreKey}
	}
	if n.Replace {
		for _, other := range m.line(n.OrderID) {
			if other != u && other.state == ledger.Queued && len(other.attempts) == 0 {
				m.end(other, ledger.Discarded)
				other.done = append(other.done, ledger.ActionReplace)
			}
		}
	}
	want := ledger.Opened{ID: id}
	switch {
	case u == nil:
		u = &modelUpload{id: id, order: n.OrderID, store: n.StoreKey}
		m.uploads[id] = u
		m.join(u)
	case u.state.Final():
		want.Revived, want.Drop = true, u.store
		u.store, u.refusals = n.StoreKey, 0
		u.done = append(u.done, ledger.ActionAgain)
		m.join(u)
	default:
		want.Duplicate, want.Drop = true, n.StoreKey
	}
	if m.head(n.OrderID) == u {
		want.Generation = u.generation
	}
	return want
}

// begin gives what Begin should answer if the breaker is closed.
func (m *model) begin(u *modelUpload, generation int64) ledger.Answer {
	switch {
	case u.state.Final(), u.generation != generation, m.head(u.order) != u:
		return ledger.Stale
	case u.state == ledger.Sending && !u.lapsed:
		return ledger.Busy
	case u.early:
		return ledger.Early
	default:
		return ledger.Started
	}
}

// started notes an attempt.
func (m *model) started(u *modelUpload, run ledger.Running) *modelAttempt {
	if u.state == ledger.Sending {
		u.running.outcome = ledger.OutcomeInterrupted
		u.was = ledger.Waiting
	} else {
		u.was = u.state
	}
	a := &modelAttempt{upload: u, run: run}
	u.attempts, u.running, u.state, u.lapsed = append(u.attempts, a), a, ledger.Sending, false
	return a
}

// finish gives how Finish should record an outcome. Free: it was a probe's or the account's, and
// costs nothing.
func (m *model) finish(a *modelAttempt, o ledger.AttemptResult, account, probe bool) string {
	u := a.upload
	if a.outcome != "" && a.outcome != ledger.OutcomeInterrupted {
		return "repeated"
	}
	how := "recorded"
	if u.running != a || a.outcome == ledger.OutcomeInterrupted {
		how = "late"
	}
	a.outcome, a.request = o.Outcome, o.RequestID
	if how == "late" && (o.Outcome != ledger.OutcomeDelivered || u.state == ledger.Delivered) {
		return how
	}
	free := account || probe
	if o.Outcome == ledger.OutcomeRefused && !free {
		u.refusals++
	}
	own := o.Outcome == ledger.OutcomeDelivered || o.Outcome == ledger.OutcomeInvalid || o.Fault == ledger.FaultFinal
	if o.Next.Final() && !account && (own || !probe) {
		m.end(u, o.Next)
		return how
	}
	u.state, u.running, u.early = ledger.Waiting, nil, !free && o.Delay > 0
	return how
}

func (m *model) released(a *modelAttempt) {
	u := a.upload
	if u.running == a {
		u.attempts, u.running, u.state = u.attempts[:len(u.attempts)-1], nil, u.was
	}
}

// TestModel drives the ledger with random interleavings of all that producers, workers, people and
// the reconciler do, and compares it with the model after each step.
func TestModel(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	plain, lossy := s.Client(), s.Client()
	lossy.AddHook(deaf{})
	account := redistest.Account(t)
	rapid.Check(t, func(rt *rapid.T) {
		rdb := plain
		if rapid.Bool().Draw(rt, "replies are lost") {
			rdb = lossy
		}
		if err := rdb.FlushAll(context.Background()).Err(); err != nil {
			rt.Fatal(err)
		}
		l := ledger.New(rdb, ledger.Settings{Breaker: ledger.BreakerSettings{
			OutageRow: 4, AccountRow: 3, RefusingRow: 3, OutageBase: time.Second, OutageMax: time.Minute,
		}})
		b := &bundle{Ledger: l, t: quiet{TB: t, rt: rt}, ctx: t.Context(), rdb: rdb, account: account, set: l.Settings()}
		m := &machine{bundle: b, model: &model{uploads: map[string]*modelUpload{}}, lossy: rdb == lossy}
		rt.Repeat(m.actions())
	})
}

// quiet lets the helpers of a bundle fail a run of rapid instead of the test.
type quiet struct {
	testing.TB

	rt *rapid.T
}

func (q quiet) Helper()                           { q.rt.Helper() }
func (q quiet) Fatal(args ...any)                 { q.rt.Fatal(args...) }
func (q quiet) Fatalf(format string, args ...any) { q.rt.Fatal(fmt.Sprintf(format, args...)) }
