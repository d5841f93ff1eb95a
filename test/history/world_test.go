package history_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

const order = "order-1"

// size is how large a history is.
type size struct{ clients, calls, uploads int }

// sizeOf makes the first histories small: what fails early is easy to read.
func sizeOf(n int) size {
	return size{clients: 2 + n%4, calls: 3 + n/8%12, uploads: 1 + n/4%mostUploads}
}

// world is one order and the clients that work on it at the same time.
type world struct {
	t        *testing.T
	account  string
	began    time.Time
	uploads  int
	names    atomic.Int64 // of calls
	attempts atomic.Int64
	workers  atomic.Int64

	mu      sync.Mutex
	tasks   []ledger.Task  // as enqueued by anybody
	left    []held         // attempts of clients that stopped
	signs   map[int]string // of life, by worker
	history history
}

// held is an attempt that was started and what it will come to.
type held struct {
	call call
	run  ledger.Running
}

// client calls the ledger, one call after the other.
type client struct {
	*world

	ledger  *ledger.Ledger
	wire    *wire
	session int
	rng     *rand.Rand
	worker  int
	holds   []held
}

// session is a client's connection, which outlives its histories.
type session struct {
	wire   *wire
	ledger *ledger.Ledger
}

// newSessions makes clients, every other of which makes a call again whose reply was lost.
func newSessions(t *testing.T, n int) (sessions []session) {
	t.Helper()
	addr := strings.TrimSuffix(strings.TrimPrefix(redistest.URL(), "redis://"), "/0")
	const noRow = 1 << 30 // the breaker stays closed
	set := ledger.Settings{
		Grace: time.Millisecond, Breaker: ledger.BreakerSettings{OutageRow: noRow, AccountRow: noRow, RefusingRow: noRow},
	}
	for i := range n {
		w := &wire{}
		rdb := w.client(addr, []int{-1, 3}[i%2])
		t.Cleanup(func() { _ = rdb.Close() })
		sessions = append(sessions, session{w, ledger.New(rdb, set)})
	}
	return sessions
}

// play lets clients work on an order at the same time, and gives what happened.
func play(t *testing.T, sessions []session, name string, seed uint64, s size) history {
	t.Helper()
	w := &world{t: t, account: name, began: time.Now(), uploads: s.uploads, signs: map[int]string{}}
	var wg sync.WaitGroup
	for i, own := range sessions[:s.clients] {
		c := &client{world: w, ledger: own.ledger, wire: own.wire, session: i, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		wg.Go(func() {
			c.live()
			for range s.calls {
				c.act()
			}
		})
	}
	wg.Wait()
	// What was written to a connection that was then cut, Redis has read before it reads this.
	last := &client{world: w, ledger: sessions[0].ledger, wire: sessions[0].wire, session: s.clients}
	for range 2 {
		if _, err := last.ledger.Accounts(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for u := range s.uploads {
		last.look(u, audit)
	}
	return w.history
}

// id gives an upload's id.
func (w *world) id(upload int) string { return ledger.UploadID(w.account, "", order, hash(upload)) }

func hash(upload int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(upload)))
	return hex.EncodeToString(sum[:])
}

// uploadOf gives the upload of an id; nobody for none.
func (w *world) uploadOf(id string) int {
	for u := range w.uploads {
		if w.id(u) == id {
			return u
		}
	}
	return nobody
}

// enqueued notes a task, as the queue would have it.
func (w *world) enqueued(id string, generation int64) {
	if generation == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks = append(w.tasks, ledger.Task{ID: id, Generation: generation})
}

// made records a call: what came of it, and before that each time that its reply was lost. What was
// never sent as a whole, Redis cannot have done.
func (c *client) made(in call, from time.Time, got answer, err error) {
	back, tries := time.Now(), c.wire.tries()
	in.from, got.back = from.UnixMilli(), back.UnixMilli()
	var all history
	add := func(began time.Time, out answer, done int64) {
		all = append(all, record{client: c.session, in: in, out: out, began: int64(began.Sub(c.began)), done: done})
	}
	for _, t := range tries {
		switch t.cut {
		case beforeReply:
			add(from, answer{unknown: true}, never)
		case afterReply:
			if bytes.HasPrefix(t.reply, []byte("-NOSCRIPT")) { // it is sent again in full
				continue
			}
			add(from, answer{unknown: true, back: t.back.UnixMilli(), what: lostReply(t.reply)}, int64(t.back.Sub(c.began)))
		case nowhere, beforeCall, withinCall, cuts:
		}
		if t.cut != nowhere {
			from = t.at // what comes next was written later
		}
	}
	switch {
	case err == nil:
		add(from, got, int64(back.Sub(c.began)))
	case len(tries) == 0:
		c.t.Errorf("%s: %v", in.kind, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, all...)
}

// lostReply gives what a reply says where the model cannot know: whether a lease was over.
func lostReply(b []byte) string {
	for _, what := range []string{"busy", "refused"} {
		if bytes.Contains(b, []byte(what)) {
			return what
		}
	}
	return ""
}
