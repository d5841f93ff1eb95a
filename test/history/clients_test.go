package history_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// results are what an attempt may come to.
func results() []ledger.AttemptResult {
	return []ledger.AttemptResult{
		{Outcome: ledger.OutcomeDelivered, HTTPStatus: 200, Code: "200", Next: ledger.Delivered},
		{Outcome: ledger.OutcomeUnavailable, HTTPStatus: 503, Next: ledger.Waiting},
		{Outcome: ledger.OutcomeUnclear, Next: ledger.Waiting, Delay: time.Hour},
		{Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: "9001", Fault: ledger.FaultRefusing, Next: ledger.Waiting},
		{Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: "4711", Fault: ledger.FaultFinal, Next: ledger.Rejected},
		{Outcome: ledger.OutcomeUnavailable, HTTPStatus: 503, Next: ledger.Expired},
	}
}

// live gives the client a new name as a worker, which beats.
func (c *client) live() {
	c.worker = int(c.workers.Add(1)) - 1
	c.wire.arm(nowhere)
	now := time.Now()
	v, err := c.ledger.Beat(c.t.Context(), c.account, ledger.WorkerInfo{
		Instance: c.instance(), Name: "w", StartedAt: ledger.Time{Time: now}, LastBeat: ledger.Time{Time: now},
	})
	c.made(call{kind: beat, worker: c.worker}, now, answer{}, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signs[c.worker] = v.Beats[c.instance()]
}

func (c *client) instance() string { return "w" + strconv.Itoa(c.worker) }

// act does one thing at random, as producers, workers, people and reconcilers do.
func (c *client) act() {
	c.wire.arm(nowhere)
	if c.rng.IntN(8) == 0 {
		c.wire.arm(beforeCall + cut(c.rng.IntN(int(cuts-beforeCall))))
	}
	upload, holds := c.rng.IntN(c.uploads), len(c.holds) > 0
	c.mu.Lock()
	tasks, left := len(c.tasks), len(c.left)
	c.mu.Unlock()
	switch n := c.rng.IntN(100); {
	case tasks == 0, n < 12:
		c.open(upload)
	case n < 60 && !holds, n < 20:
		c.begin()
	case n < 45 && holds:
		c.finish(c.take(&c.holds))
	case n < 48 && holds:
		c.release(c.take(&c.holds))
	case n < 60:
		c.crash()
	case n < 72 && left > 0:
		c.finishLeft()
	case n < 80:
		c.retry(upload)
	case n < 84:
		c.discard(upload)
	case n < 92:
		c.recover()
	case n < 95:
		c.sweep()
	default:
		c.look(upload, read)
	}
}

func (c *client) newCall(k kind, upload int) call {
	return call{kind: k, name: int(c.names.Add(1)), upload: upload}
}

func (c *client) open(upload int) {
	in, from := c.newCall(open, upload), time.Now()
	in.again, in.replace = c.rng.IntN(3) == 0, c.rng.IntN(5) == 0
	o, err := c.ledger.Open(c.t.Context(), ledger.NewUpload{
		Account: c.account, OrderID: order, SHA256: hash(upload), Size: 1, MediaType: "image/png", StoreKey: strconv.Itoa(in.name),
		Again: in.again, Replace: in.replace,
	})
	out := answer{what: "created", generation: o.Generation}
	switch {
	case o.Duplicate:
		out.what = "duplicate"
	case o.Revived:
		out.what = "revived"
	}
	if o.Drop != "" {
		out.drop, _ = strconv.Atoi(o.Drop) // a call's name
	}
	c.made(in, from, out, err)
	if err == nil {
		c.enqueued(o.ID, o.Generation)
	}
}

// begin takes up a task, more often a new one.
func (c *client) begin() {
	c.mu.Lock()
	n := len(c.tasks)
	t := c.tasks[n-1-min(c.rng.IntN(n), c.rng.IntN(n), c.rng.IntN(n))]
	c.mu.Unlock()
	in := c.newCall(begin, c.uploadOf(t.ID))
	in.generation = t.Generation
	in.attempt, in.worker, in.lease = int(c.attempts.Add(1))-1, c.worker, time.Minute.Milliseconds()
	if in.attempt >= mostAttempts/2 { // one may begin twice
		return
	}
	if c.rng.IntN(3) == 0 {
		in.lease = 1 + c.rng.Int64N(2)
	}
	in.result = c.rng.IntN(len(results()))
	from := time.Now()
	b, err := c.ledger.Begin(c.t.Context(), ledger.NewAttempt{
		ID: c.id(in.upload), Generation: in.generation, Nonce: "a" + strconv.Itoa(in.attempt), Worker: c.instance(),
		Instance: c.instance(), Lease: time.Duration(in.lease) * time.Millisecond,
	})
	out := answer{what: string(b.Answer)}
	if b.Answer == ledger.Started {
		out.number, out.interruptedLast, out.startedAt = b.Running.Number, b.Running.Interrupted, b.Running.StartedAt.UnixMilli()
	}
	if b.Answer == ledger.Stale {
		out.what += ": " + b.Wait.Reason
	}
	c.made(in, from, out, err)
	if err == nil && b.Answer == ledger.Started {
		c.holds = append(c.holds, held{in, b.Running})
	}
}

// take draws one of the attempts and removes it.
func (c *client) take(from *[]held) held {
	i := c.rng.IntN(len(*from))
	h := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return h
}

func (c *client) finish(h held) {
	in := h.call
	in.kind, in.name = finish, int(c.names.Add(1))
	from := time.Now()
	r, err := c.ledger.Finish(c.t.Context(), h.run, results()[in.result])
	c.made(in, from, answer{what: r.How, state: r.State, upload: c.uploadOf(r.NextID), generation: r.NextGen}, err)
	if err != nil || c.rng.IntN(8) == 0 {
		c.holds = append(c.holds, h) // and says so again
		return
	}
	c.enqueued(r.NextID, r.NextGen)
	if r.State == ledger.Waiting {
		c.enqueued(h.run.ID, h.run.Generation)
	}
}

func (c *client) release(h held) {
	in := h.call
	in.kind, in.name = release, int(c.names.Add(1))
	from := time.Now()
	err := c.ledger.Release(c.t.Context(), h.run, "")
	c.made(in, from, answer{}, err)
	c.enqueued(h.run.ID, h.run.Generation)
}

// crash stops the client between Begin and Finish, and starts it under another name.
func (c *client) crash() {
	c.mu.Lock()
	c.left = append(c.left, c.holds...)
	for _, h := range c.holds {
		c.tasks = append(c.tasks, ledger.Task{ID: h.run.ID, Generation: h.run.Generation})
	}
	c.mu.Unlock()
	c.holds = nil
	c.live()
}

// finishLeft is a worker that had only been frozen.
func (c *client) finishLeft() {
	c.mu.Lock()
	if len(c.left) == 0 {
		c.mu.Unlock()
		return
	}
	h := c.take(&c.left)
	c.mu.Unlock()
	c.finish(h)
}

func (c *client) retry(upload int) {
	in, from := c.newCall(retry, upload), time.Now()
	task, err := c.ledger.Reopen(c.t.Context(), c.id(upload), ledger.Who{})
	out := answer{what: "retried", generation: task.Generation, replaces: task.Replaces}
	if what := refusal(err); what != "" {
		out, err = answer{what: what}, nil
	}
	c.made(in, from, out, err)
	if err == nil {
		c.enqueued(task.ID, task.Generation)
	}
}

// refusal gives what the ledger says instead of doing it; "" when it does it, or could not be asked.
func refusal(err error) string {
	if state, ok := errors.AsType[*ledger.StateError](err); ok {
		return "refused: " + string(state.State)
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return "unknown"
	}
	return ""
}

func (c *client) discard(upload int) {
	in, from := c.newCall(discard, upload), time.Now()
	next, worthless, err := c.ledger.Discard(c.t.Context(), c.id(upload), ledger.Who{})
	out := answer{what: "discarded", upload: c.uploadOf(next.ID), generation: next.Generation, replaces: worthless}
	if what := refusal(err); what != "" {
		out, err = answer{what: what}, nil
	}
	c.made(in, from, out, err)
	if err == nil {
		c.enqueued(next.ID, next.Generation)
	}
}

// recover takes a worker for dead, which may be wrong.
func (c *client) recover() {
	in := c.newCall(recovery, 0)
	in.worker = c.rng.IntN(int(c.workers.Load()))
	c.mu.Lock()
	sign := cmp.Or(c.signs[in.worker], "not known yet")
	c.mu.Unlock()
	if sign == "not known yet" {
		return
	}
	from := time.Now()
	rs, err := c.ledger.Recover(c.t.Context(), c.account, ledger.Vitals{Beats: map[string]string{"w" + strconv.Itoa(in.worker): sign}})
	c.repaired(in, from, rs, "took back", err)
}

func (c *client) sweep() {
	c.wire.arm(nowhere)
	in, from := c.newCall(sweep, 0), time.Now()
	index := []string{"sending", "waiting", "queued", "behind"}[c.rng.IntN(4)]
	r, err := c.ledger.Sweep(c.t.Context(), c.account, index+":0", 100)
	c.repaired(in, from, r.Repairs, "repaired", err)
}

func (c *client) repaired(in call, from time.Time, rs []ledger.Repair, what string, err error) {
	var out answer
	for _, r := range rs {
		out = answer{what: what, upload: c.uploadOf(r.ID), generation: r.Generation}
		if len(rs) > 1 {
			out.what = fmt.Sprint(rs) // never right: an order has one head
		}
		c.enqueued(r.ID, r.Generation)
	}
	c.made(in, from, out, err)
}

func (c *client) look(upload int, k kind) {
	c.wire.arm(nowhere)
	in, from := c.newCall(k, upload), time.Now()
	u, err := c.ledger.Get(context.WithoutCancel(c.t.Context()), c.id(upload))
	if refusal(err) != "" {
		c.made(in, from, answer{what: refusal(err)}, nil)
		return
	}
	c.made(in, from, answer{what: describeUpload(u, k == audit)}, err)
}

// describeUpload is what the model's describe gives.
func describeUpload(u ledger.Upload, attempts bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, generation %d, %d attempts, %d refusals", u.State, u.Generation, u.AttemptCount, u.Refusals)
	if !attempts {
		return b.String()
	}
	name := func(a ledger.Attempt) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(a.Nonce, "a")) // ours
		return n
	}
	slices.SortStableFunc(u.Attempts, func(a, b ledger.Attempt) int { return name(a) - name(b) })
	for _, a := range u.Attempts {
		b.WriteString(describeAttempt(name(a), a.Number, a.Outcome))
	}
	return b.String()
}
