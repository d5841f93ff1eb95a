package worker_test

import (
	"bufio"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

// neverAsks leaves only messages to tell a worker of tasks.
func neverAsks(b *bundle) { b.set.PollEvery = time.Hour }

// A worker that has nothing under way stops at once, not only when its time to stop is over.
const atOnce = 20 * time.Second

func timeToStop(b *bundle) { b.set.ShutdownTimeout = 3 * atOnce }

// longCalls leaves time to do something while a call is under way.
func longCalls(b *bundle) {
	b.set.CallTimeout = 30 * time.Second
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(5 * time.Second)})
}

// listens waits until a worker listens to the account's channel.
func (b *bundle) listens() {
	b.t.Helper()
	b.eventually("a worker listens", func() bool {
		n, err := b.rdb.PubSubNumSub(b.ctx, "voucherd:{"+ledger.Queue(b.account)+"}:wake").Result()
		for _, listeners := range n {
			return err == nil && listeners > 0
		}
		return false
	})
}

// TestMessagesAreEnough has whoever puts a task tell the worker: a producer, the worker itself for
// the next of an order queue, and asynq's forwarder when a retry is due.
func TestMessagesAreEnough(t *testing.T) {
	t.Parallel()
	var s *redistest.Server // that knows none of asynq's scripts yet
	b := setup(t, neverAsks, ownRedis(&s, redistest.Options{}))
	b.start("w1")
	b.listens()
	for i := range 5 {
		b.reaches(ledger.Delivered, b.enqueue(fmt.Sprintf("order-%d", i), i).ID)
	}
	b.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage, Times: 2})
	var ids []string
	for i := range 5 {
		ids = append(ids, b.enqueue("the-order", 10+i).ID)
	}
	b.reaches(ledger.Delivered, ids...)
}

// TestStopsWhileItWaitsForTasks stops an idle worker, which ends its waiting.
func TestStopsWhileItWaitsForTasks(t *testing.T) {
	t.Parallel()
	b := setup(t, neverAsks, timeToStop)
	stop := b.start("w1")
	b.listens()
	began := time.Now()
	stop()
	if took := time.Since(began); took > atOnce {
		t.Errorf("stopping an idle worker took %v", took)
	}
}

// TestOneServer is what asynqmon shows of an account with default settings.
func TestOneServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ concurrency, servers int }{{1, 1}, {16, 1}, {17, 2}, {40, 3}} {
		t.Run(strconv.Itoa(c.concurrency), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(b *bundle) { b.conc = c.concurrency })
			b.start("w1")
			b.eventually("its asynq servers show", func() bool {
				servers, err := asynq.NewInspectorFromRedisClient(b.rdb).Servers()
				b.must(err)
				n, slots := 0, 0
				for _, s := range servers {
					if s.Queues[ledger.Queue(b.account)] > 0 {
						n, slots = n+1, slots+s.Concurrency
					}
				}
				return n == c.servers && slots == c.concurrency
			})
		})
	}
}

// TestIdleWorkerIsQuiet counts the commands of a worker without anything to do, those within
// scripts too.
func TestIdleWorkerIsQuiet(t *testing.T) {
	t.Parallel()
	const most, seconds = 5, 6 // commands a second
	var s *redistest.Server
	b := setup(t, ownRedis(&s, redistest.Options{}), func(b *bundle) {
		b.set.PollEvery, b.set.ReconcileEvery, b.conc = 0, time.Hour, 16
		b.set.BeatEvery, b.set.DeadAfter = time.Hour, 2*time.Hour
	})
	b.start("w1")
	b.reaches(ledger.Delivered, b.enqueue("order", 1).ID)
	b.eventually("its task has ended, too", func() bool { return b.queued() == 0 })
	before, began := b.commands(), time.Now()
	b.eventually("some seconds pass", func() bool { return time.Since(began) > seconds*time.Second })
	after, sum := b.commands(), 0
	for name, n := range after {
		if n -= before[name]; name != "info" && n > 0 {
			sum += n
			t.Logf("%s %d", name, n)
		}
	}
	if took := time.Since(began); sum > most*int(took.Seconds()+2) {
		t.Errorf("%d commands in %v", sum, took)
	}
}

// commands counts what Redis has been asked so far.
func (b *bundle) commands() map[string]int {
	b.t.Helper()
	text, err := b.rdb.Info(b.ctx, "commandstats").Result()
	b.must(err)
	calls := map[string]int{}
	line := regexp.MustCompile(`^cmdstat_([^:]+):calls=(\d+)`)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if m := line.FindStringSubmatch(lines.Text()); m != nil {
			calls[m[1]], err = strconv.Atoi(m[2])
			b.must(err)
		}
	}
	return calls
}

// TestStopsInTheMidst stops a worker that fetches ahead; another, which only hears of tasks, ends
// the work.
func TestStopsInTheMidst(t *testing.T) {
	t.Parallel()
	b := setup(t, neverAsks, func(b *bundle) { b.conc = 16 })
	ids := b.many(300)
	stop := b.start("w1")
	b.eventually("some are delivered", func() bool { return len(b.api.Requests()) > 50 })
	stop()
	if i := b.info(); i.Active != 0 {
		t.Errorf("after the stop: %+v", i)
	}
	b.start("w2")
	b.reaches(ledger.Delivered, ids...)
	b.agree(ids...)
	if n := len(b.api.Requests()); n != len(ids) {
		t.Errorf("the API saw %d requests for %d uploads", n, len(ids))
	}
}
