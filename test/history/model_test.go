package history_test

import (
	"math"
	"strings"

	"github.com/voucherd/voucherd/ledger"
)

const (
	mostUploads  = 3
	mostAttempts = 64
)

// state is what the ledger should know of one order. It is compared with ==.
type state struct {
	uploads  [mostUploads]upload
	attempts [mostAttempts]attempt // in the order in which they began
	begun    int                   // of attempts
	beating  uint64                // workers, by their bits
	seq      int                   // last place in the order queue
}

type upload struct {
	state, was         ledger.State // "": it is not recorded
	generation         int64
	place              int // in the order queue; 0: it has ended
	count, refusals    int
	early              bool // its next attempt is not due yet
	store              int  // the call that put its voucher
	token              int  // the call that retried it last
	running            int  // index of the attempt
	worker             int  // of running
	leaseMin, leaseMax int64
}

type attempt struct {
	name    int
	number  int // 0: it was released
	upload  int
	outcome ledger.Outcome // "": it runs
}

const nobody = -1

// attempt gives the index of the last attempt of a name. There are two when Begin got lost, another
// took over, and Begin is then made again.
func (s *state) attempt(name int) int {
	for i := s.begun - 1; i >= 0; i-- {
		if s.attempts[i].name == name && s.attempts[i].number > 0 {
			return i
		}
	}
	return nobody
}

// head gives the upload that comes first.
func (s *state) head() int {
	first := nobody
	for i, u := range s.uploads {
		if u.place > 0 && (first == nobody || u.place < s.uploads[first].place) {
			first = i
		}
	}
	return first
}

// next is the head as answers give it.
func (s *state) next(a answer) answer {
	if a.upload = s.head(); a.upload != nobody {
		a.generation = s.uploads[a.upload].generation
	}
	return a
}

func (s *state) join(i int) {
	s.seq++
	s.uploads[i].place, s.uploads[i].state = s.seq, ledger.Queued
	if s.head() == i {
		s.uploads[i].generation++
	}
}

// end moves an upload to a final state, and gives the next its task.
func (s *state) end(i int, to ledger.State) {
	first := s.head() == i
	s.interrupt(i)
	u := &s.uploads[i]
	u.state, u.place, u.early = to, 0, false
	if next := s.head(); first && next != nobody {
		s.uploads[next].generation++
	}
}

// interrupt marks the attempt that runs as cut off, if one does.
func (s *state) interrupt(i int) {
	if u := &s.uploads[i]; u.state == ledger.Sending {
		if a := &s.attempts[u.running]; a.outcome == "" {
			a.outcome = ledger.OutcomeInterrupted
		}
	}
}

// step is one call on the order. Got is what the client was told: it decides where the time does,
// and is compared with what it should have been told.
func step(s state, c call, got answer) (bool, state) {
	var want answer
	switch c.kind {
	case open:
		want = s.open(c)
	case begin:
		want = s.begin(c, got)
	case finish:
		want = s.finish(c)
	case release:
		s.release(c)
	case retry:
		want = s.retry(c)
	case discard:
		want = s.discard(c, got)
	case beat:
		s.beating |= 1 << c.worker
	case recovery:
		want = s.recover(c)
	case sweep:
		want = s.sweep(got)
	case read, audit:
		want.what = s.describe(c.upload, c.kind == audit)
	}
	return got.unknown || want == got.without(), s
}

func (s *state) open(c call) answer {
	u := &s.uploads[c.upload]
	task := func(a answer) answer {
		if s.head() == c.upload {
			a.generation = u.generation
		}
		return a
	}
	if u.state != "" && u.store == c.name {
		return task(answer{what: "created"})
	}
	if u.state.Final() && !c.again {
		return answer{what: "duplicate", drop: c.name}
	}
	if c.replace {
		s.replace(c.upload)
	}
	if u.state != "" && !u.state.Final() {
		return task(answer{what: "duplicate", drop: c.name})
	}
	a := answer{what: "created"}
	if u.state != "" {
		a.what, a.drop = "revived", u.store
	}
	u.store, u.refusals, u.early = c.name, 0, false
	s.join(c.upload)
	return task(a)
}

// replace discards the others that were never sent.
func (s *state) replace(by int) {
	for range s.uploads {
		first := nobody
		for i, u := range s.uploads {
			if i != by && u.state == ledger.Queued && u.count == 0 && (first == nobody || u.place < s.uploads[first].place) {
				first = i
			}
		}
		if first != nobody {
			s.end(first, ledger.Discarded)
		}
	}
}

func (s *state) begin(c call, got answer) answer {
	u := &s.uploads[c.upload]
	if u.state == ledger.Sending && s.attempts[u.running].name == c.attempt {
		if !got.unknown {
			u.leaseMin, u.leaseMax = got.startedAt+c.lease, got.startedAt+c.lease
		}
		return answer{what: "started", number: s.attempts[u.running].number}
	}
	switch {
	case u.state == "":
		return answer{what: "stale: unknown"}
	case u.state.Final():
		return answer{what: "stale: " + string(u.state)}
	case u.generation != c.generation || c.generation == 0:
		return answer{what: "stale: generation"}
	case s.head() != c.upload:
		return answer{what: "stale: order queue"}
	case u.state == ledger.Sending && !s.lapsed(u, c, got, got.what == "busy"):
		return answer{what: "busy"}
	case u.early:
		return answer{what: "early"}
	}
	a := answer{what: "started", interruptedLast: u.state == ledger.Sending}
	s.interrupt(c.upload)
	u.was = ledger.Waiting
	if u.state == ledger.Queued {
		u.was = ledger.Queued
	}
	u.count++
	u.state, u.running, u.worker = ledger.Sending, s.begun, c.worker
	u.leaseMin, u.leaseMax = got.startedAt+c.lease, got.startedAt+c.lease
	if got.unknown {
		u.leaseMin, u.leaseMax = c.from+c.lease, math.MaxInt64
		if got.back > 0 {
			u.leaseMax = got.back + c.lease
		}
	}
	a.number = u.count
	s.attempts[s.begun] = attempt{name: c.attempt, number: u.count, upload: c.upload}
	s.begun++
	return a
}

// lapsed says whether the lease of the attempt that runs is over. While the clock leaves it open, the
// client's word that it is not decides.
func (s *state) lapsed(u *upload, c call, got answer, not bool) bool {
	if not && u.leaseMax > c.from {
		return false
	}
	return got.back == 0 || u.leaseMin <= got.back
}

func (s *state) finish(c call) answer {
	i, r := s.attempt(c.attempt), results()[c.result]
	if i == nobody {
		return answer{what: "an attempt that never was"}
	}
	t := &s.attempts[i]
	u := &s.uploads[t.upload]
	reply := func(how string) answer {
		a := answer{what: how, state: u.state, upload: nobody}
		if u.state.Final() {
			a = s.next(a)
		}
		return a
	}
	if t.outcome != "" && t.outcome != ledger.OutcomeInterrupted {
		return reply("repeated")
	}
	how := "recorded"
	if u.state != ledger.Sending || u.running != i || t.outcome != "" {
		how = "late"
	}
	t.outcome = r.Outcome
	if how == "late" && (r.Outcome != ledger.OutcomeDelivered || u.state == ledger.Delivered) {
		return reply(how)
	}
	if r.Outcome == ledger.OutcomeRefused {
		u.refusals++
	}
	if !r.Next.Final() {
		u.state, u.early = ledger.Waiting, r.Delay > 0
		return reply(how)
	}
	before, wasHead := u.state, s.head() == t.upload
	s.end(t.upload, r.Next)
	if before.Final() || wasHead {
		return reply(how)
	}
	return answer{what: how, state: u.state, upload: nobody}
}

func (s *state) release(c call) {
	u := &s.uploads[c.upload]
	if u.state == ledger.Sending && s.attempts[u.running].name == c.attempt {
		u.state, u.count = u.was, u.count-1
		s.attempts[u.running].number = 0
	}
}

func (s *state) retry(c call) answer {
	u := &s.uploads[c.upload]
	a := answer{what: "retried"}
	switch {
	case u.state == "":
		return answer{what: "unknown"}
	case u.token == c.name: // Redis got it twice
	case u.state == ledger.Queued || u.state == ledger.Waiting:
		u.early = u.early && u.state == ledger.Queued
		if s.head() == c.upload {
			a.replaces = u.generation
			u.generation++
		}
	case u.state == ledger.Rejected || u.state == ledger.Expired:
		u.refusals = 0
		s.join(c.upload)
	default:
		return answer{what: "refused: " + string(u.state)}
	}
	u.token = c.name
	if s.head() == c.upload {
		a.generation = u.generation
	}
	return a
}

func (s *state) discard(c call, got answer) answer {
	u := &s.uploads[c.upload]
	refused := answer{what: "refused: " + string(u.state)}
	switch {
	case u.state == "":
		return answer{what: "unknown"}
	case u.state == ledger.Delivered:
		return refused
	case u.state == ledger.Sending && !s.lapsed(u, c, got, strings.HasPrefix(got.what, "refused")):
		return refused
	case u.state != ledger.Discarded:
		s.end(c.upload, ledger.Discarded)
	}
	return s.next(answer{what: "discarded", replaces: u.generation})
}

// recover takes back what a dead worker was sending.
func (s *state) recover(c call) answer {
	alive := s.beating&(1<<c.worker) != 0
	s.beating &^= 1 << c.worker
	for i := range s.uploads {
		if u := &s.uploads[i]; alive && u.state == ledger.Sending && u.worker == c.worker {
			s.interrupt(i)
			u.state, u.early = ledger.Waiting, false
			u.generation++
			return answer{what: "took back", upload: i, generation: u.generation}
		}
	}
	return answer{}
}

// sweep gives a head a new task, when it is unfinished and nothing runs. Whether it is long enough
// since the last is for the clock to say.
func (s *state) sweep(got answer) answer {
	const grace = 1 // ms
	if got.what == "" {
		return answer{}
	}
	u := &s.uploads[got.upload]
	if s.head() != got.upload || u.state == ledger.Sending && u.leaseMin+grace > got.back {
		return answer{}
	}
	u.generation++
	return answer{what: "repaired", upload: got.upload, generation: u.generation}
}
