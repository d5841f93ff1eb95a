// Package plan makes, from a seed, all that a chaos run is going to do: which vouchers are enqueued
// when, when the API fails and how, and what is done to the processes. The same options give the
// same plan.
package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// Options are what a plan is made of.
type Options struct {
	Seed     uint64
	Vouchers int
	Workers  int
	Accounts []string
}

// FinalCode is the code that refused orders are refused with; the workers' settings call it final.
const FinalCode = 4711

// Plan is all that a run is going to do. Times count from the start of the run.
type Plan struct {
	Orders    []Order
	API       []APIFault     // in order of time, one after the other
	Processes []ProcessFault // in order of time, one after the other
	Freezes   []ProcessFault // likewise, beside them, of a worker that they spare
	Outage    Outage         // the long one, after all faults of API
	Length    time.Duration  // until the API works again for good
}

// Order is an order and its vouchers, which are enqueued one after the other.
type Order struct {
	ID, Account string
	Vouchers    []Voucher
	Refused     bool // the API refuses its vouchers for good until the end of the run
}

// Voucher is one file to be enqueued.
type Voucher struct {
	Number int
	Size   int           // bytes
	At     time.Duration // not before
	Again  time.Duration // enqueued once more then, as a backend does that has forgotten; 0: not
}

// Once enqueues each voucher only once: a ledger that forgets cannot know a duplicate.
func (o Order) Once() {
	for i := range o.Vouchers {
		o.Vouchers[i].Again = 0
	}
}

// APIFault is a fault of the API for a while.
type APIFault struct {
	At    time.Duration
	Fault sandbox.Fault // with its For
}

// Outage is a time when the API is away altogether. From Quiet on nothing is enqueued, so that what
// the workers ask of Redis can be counted.
type Outage struct{ From, Quiet, To time.Duration }

// Kind is a kind of process fault.
type Kind string

// The kinds of process fault.
const (
	KillWorker   Kind = "kill -9 worker"  // and started again after For
	StopWorker   Kind = "SIGTERM worker"  //nolint:gosec // no credentials; started again after For
	FreezeWorker Kind = "SIGSTOP worker"  // for For
	KillRedis    Kind = "kill -9 redis"   // and started again after For
	PauseRedis   Kind = "SIGSTOP redis"   // for For
	FlushQueue   Kind = "flush queue"     // of Account
	LoseWrites   Kind = "fail over redis" // to a replica without the writes of For
)

// ProcessFault is one thing that is done to a process.
type ProcessFault struct {
	At      time.Duration
	Kind    Kind
	Worker  int
	Account string
	For     time.Duration
}

// String tells what is done.
func (b ProcessFault) String() string {
	whom := b.Account
	if strings.HasSuffix(string(b.Kind), " worker") {
		whom = strconv.Itoa(b.Worker + 1)
	}
	return fmt.Sprintf("%s for %v", strings.TrimSpace(string(b.Kind)+" "+whom), b.For)
}

const (
	perRound    = 500 // vouchers; every fault comes once a round
	mostRounds  = 40
	shortOutage = 6 * time.Second
	longOutage  = 20 * time.Second // from two rounds on
	grain       = 10 * time.Millisecond
)

// planner draws random numbers from the seed.
type planner struct {
	Options

	rng *rand.Rand
}

// New makes the plan of some options.
func New(o Options) Plan {
	p := planner{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	rounds := min(max(1, o.Vouchers/perRound), mostRounds)
	var out Plan
	at := time.Second
	for round := range rounds {
		from := at
		out.API, at = p.apiFaults(out.API, at)
		out.Processes = append(out.Processes, p.processFaults(from, at, round == 0)...)
	}
	length := shortOutage
	if rounds > 1 {
		length = longOutage
	}
	out.Outage = Outage{From: at, Quiet: at + length/4, To: at + length}
	out.Length = out.Outage.To
	out.Orders = p.orders(out.Outage.Quiet - time.Second)
	out.Freezes = p.freezes(at)
	return out
}

// failovers is how often a run of NewFailovers loses writes.
const failovers = 4

// NewFailovers makes the plan of a run in which the API works, and Redis is failed over again and
// again to a replica that lacks the last writes.
func NewFailovers(o Options) Plan {
	p := planner{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	var out Plan
	for range failovers {
		b := ProcessFault{
			At: out.Length + p.between(time.Second, 1500*time.Millisecond), Kind: LoseWrites,
			For: p.between(300*time.Millisecond, 1500*time.Millisecond),
		}
		out.Processes = append(out.Processes, b)
		const start = time.Second // of the replica
		out.Length = b.At + b.For + start
	}
	out.Orders = p.orders(out.Length)
	for _, o := range out.Orders {
		o.Once()
	}
	return out
}

// between draws a time.
func (p planner) between(low, high time.Duration) time.Duration {
	return (low + time.Duration(p.rng.Int64N(int64(high-low)))).Truncate(grain)
}

// apiFaults lets every fault come once, in any order, each for a time and with a probability.
func (p planner) apiFaults(all []APIFault, at time.Duration) (longer []APIFault, end time.Duration) {
	faults := []sandbox.Fault{
		{Kind: sandbox.Outage},
		{Kind: sandbox.Hang, Probability: p.chance(0.1, 0.4), Before: p.rng.IntN(2) == 0},
		{Kind: sandbox.Slow, Probability: p.chance(0.3, 1), Delay: sandbox.Duration(p.between(200*time.Millisecond, time.Second))},
		{Kind: sandbox.Reset, Probability: p.chance(0.2, 0.7), Before: p.rng.IntN(2) == 0},
		{Kind: sandbox.CutOff, Probability: p.chance(0.2, 0.7)},
		{Kind: sandbox.NotJSON, Probability: p.chance(0.2, 0.7)},
		{Kind: sandbox.Throttle, Probability: p.chance(0.1, 0.5), RetryAfter: "1"},
		{Kind: sandbox.Unauthorized, Probability: p.chance(0.3, 1)},
		{Kind: sandbox.Gone, Probability: p.chance(0.3, 1)},
		{Kind: sandbox.Refuse, Probability: p.chance(0.2, 0.8), Code: 9000 + p.rng.IntN(3)},
		{Kind: sandbox.Status, Status: []int{302, 400, 404, 408, 500, 502, 504}[p.rng.IntN(7)], Probability: p.chance(0.3, 1)},
	}
	p.rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	for _, f := range faults {
		f.For = sandbox.Duration(p.between(time.Second, 1800*time.Millisecond))
		all = append(all, APIFault{At: at, Fault: f})
		at += time.Duration(f.For) + p.between(150*time.Millisecond, 500*time.Millisecond)
	}
	return all, at
}

// chance draws a probability in steps of a hundredth.
func (p planner) chance(low, high float64) float64 {
	return float64(int(100*(low+p.rng.Float64()*(high-low)))) / 100
}

// longPause is longer than a producer may be kept waiting for an error.
const longPause = 7 * time.Second

// processFaults come one after the other within a round, in any order. What a killed worker leaves
// takes asynq half a minute to give up; so the first of them come early.
func (p planner) processFaults(from, to time.Duration, first bool) []ProcessFault {
	account, victims := p.Accounts[p.rng.IntN(len(p.Accounts))], max(1, p.Workers-1) // the last one is frozen
	rest := []ProcessFault{
		{Kind: StopWorker, Worker: p.rng.IntN(victims), For: p.between(0, time.Second)},
		{Kind: KillRedis, For: p.between(0, 2*time.Second)},
		{Kind: PauseRedis, For: p.between(time.Second, 3*time.Second)},
		{Kind: FlushQueue, Account: account},
	}
	if first {
		rest[2].For = longPause
	}
	p.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	victim := p.rng.IntN(victims)
	all := slices.Concat([]ProcessFault{p.kill(victim)}, rest[:2], []ProcessFault{p.kill((victim + 1) % victims)}, rest[2:])
	idle := to - from
	for _, b := range all {
		idle -= b.For
	}
	gap := max(idle, 0) / time.Duration(len(all))
	for i := range all {
		all[i].At = from + p.between(0, gap/2+grain)
		from += all[i].For + gap
	}
	return all
}

// freezes stop the last worker again and again until the outage: the first time for so long that
// its uploads are taken over, then for up to half a minute. They follow the faults that a seed has
// always made.
func (p planner) freezes(until time.Duration) (all []ProcessFault) {
	const longest = 30 * time.Second
	shortest := longest / 3
	for at := p.between(time.Second, 4*time.Second); at < until && p.Workers > 1; at += p.between(time.Second, 4*time.Second) {
		f := ProcessFault{At: at, Kind: FreezeWorker, Worker: p.Workers - 1, For: p.between(shortest, longest)}
		all = append(all, f)
		at += f.For
		shortest = time.Second / 2
	}
	return all
}

func (p planner) kill(worker int) ProcessFault {
	return ProcessFault{Kind: KillWorker, Worker: worker, For: p.between(0, 1500*time.Millisecond)}
}

// orders spreads the vouchers over orders and over time. Some orders have several, and one has
// many.
func (p planner) orders(within time.Duration) []Order {
	var all []Order
	for n := 0; n < p.Vouchers; {
		size := 1
		switch percent := p.rng.IntN(100); {
		case len(all) == 1:
			size = 12
		case percent < 10:
			size = 3 + p.rng.IntN(3)
		case percent < 25:
			size = 2
		}
		size = min(size, p.Vouchers-n)
		o := Order{
			ID:      "10225" + strconv.Itoa(int(p.Seed%1000)) + "-" + strconv.Itoa(len(all)),
			Account: p.Accounts[max(0, p.rng.IntN(2*len(p.Accounts))-len(p.Accounts))],
			Refused: p.rng.IntN(60) == 0,
		}
		at := p.between(0, within)
		for range size {
			v := Voucher{Number: n, At: at, Size: p.size()}
			if p.rng.IntN(12) == 0 {
				v.Again = v.At + p.between(100*time.Millisecond, 15*time.Second)
				v.Again = min(v.Again, within)
			}
			o.Vouchers = append(o.Vouchers, v)
			n++
			at = min(at+p.between(0, 3*time.Second), within)
		}
		all = append(all, o)
	}
	return all
}

// size draws a voucher's size: most are small, some need several chunks of a Redis store.
func (p planner) size() int {
	const kib = 1 << 10
	if p.rng.IntN(25) == 0 {
		return 256*kib + p.rng.IntN(512*kib)
	}
	return kib + p.rng.IntN(32*kib)
}
