package simulation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// story is what happens in a week, all of it drawn from one seed.
type story struct {
	seed   uint64
	long   time.Duration
	spells []spell // one after the other
	events []event // by time
	orders []order
	dead   []int // the orders that the API will not have
}

// spell is a time in which the API is not as it should be.
type spell struct {
	kind     kind
	from, to time.Duration
	faults   []sandbox.Fault
	ahead    time.Duration // of the API's clock
}

type kind string

const (
	outage      kind = "outage"
	throttling  kind = "throttling"
	credentials kind = "credentials"
	retirement  kind = "retirement"
	slow        kind = "slow"
	clockStep   kind = "clock step"
)

// event is something that happens at once.
type event struct {
	at   time.Duration
	what what
	slot int           // the worker it happens to; the other one, where that is not there
	long time.Duration // until it is over
	mode int
}

type what string

const (
	death     what = "death"
	rolling   what = "rolling restart"
	partition what = "partition"
	redisAway what = "redis away"
	redisStep what = "step of redis' clock"
	flush     what = "queue flushed"
	handAgain what = "tasks handed out again"
)

// order is a payment's order with its vouchers.
type order struct {
	at       time.Duration
	vouchers []voucher
}

type voucher struct {
	after time.Duration // the one before was accepted
	size  int
}

// dice draws.
type dice struct{ *rand.Rand }

func (d dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.Int64N(int64(to-from)+1))
}

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

const day = 24 * time.Hour

// draw makes a story of so many days. Each week has an outage of more than a day, one of the
// credentials, one retirement of the endpoint, and ten deaths of workers; what is shorter has its
// share.
func draw(seed uint64, days int) story {
	d := dice{rand.New(rand.NewPCG(seed, uint64(days)))} //nolint:gosec // days are few
	s := story{seed: seed, long: time.Duration(days) * day}
	s.drawSpells(d, days)
	s.drawEvents(d, days)
	s.drawOrders(d, days)
	return s
}

func (s *story) drawSpells(d dice, days int) {
	weeks := max(1, days/7)
	for range weeks {
		great, some := d.between(24*time.Hour, 30*time.Hour), 5*time.Hour
		if days < 7 {
			great, some = d.between(5*time.Hour, 8*time.Hour), 2*time.Hour
		}
		s.add(spell{kind: outage, to: great, faults: outageFaults(d)})
		s.add(spell{kind: credentials, to: d.between(time.Hour, some)})
		s.add(spell{kind: retirement, to: d.between(time.Hour, some), faults: []sandbox.Fault{
			pick(d, sandbox.Fault{Kind: sandbox.Gone}, sandbox.Fault{Kind: sandbox.Status, Status: 404}, sandbox.Fault{Kind: sandbox.Status, Status: 405}),
		}})
		s.add(slowSpell(d, days))
	}
	if days >= 7 {
		for range weeks {
			for range 1 + d.IntN(3) {
				s.add(spell{kind: outage, to: d.between(3*time.Minute, 2*time.Hour), faults: outageFaults(d)})
			}
			for range 1 + d.IntN(2) {
				s.add(spell{kind: throttling, to: d.between(2*time.Minute, time.Hour), faults: []sandbox.Fault{
					{Kind: sandbox.Throttle, RetryAfter: pick(d, "", "60", "90", "1200")},
				}})
			}
			s.add(slowSpell(d, days))
			ahead := d.between(time.Minute, 2*time.Hour)
			s.add(spell{kind: clockStep, to: d.between(time.Hour, 6*time.Hour), ahead: pick(d, ahead, -ahead)})
		}
	}
	s.spread(d)
}

func (s *story) add(p spell) { s.spells = append(s.spells, p) }

func slowSpell(d dice, days int) spell {
	long := time.Duration(min(days, 4)) * time.Hour
	return spell{kind: slow, to: d.between(long/2, long), faults: []sandbox.Fault{
		{Kind: sandbox.Slow, Delay: sandbox.Duration(d.between(5*time.Second, 45*time.Second)), Probability: 0.7, Before: d.IntN(2) == 0},
	}}
}

// outageFaults gives a way for the API to be away.
func outageFaults(d dice) []sandbox.Fault {
	lost := d.IntN(4) == 0 // the API takes what it does not answer, now and then
	faults := []sandbox.Fault{pick(d,
		sandbox.Fault{Kind: sandbox.Outage}, sandbox.Fault{Kind: sandbox.Outage, RetryAfter: "240"}, sandbox.Fault{Kind: sandbox.Status, Status: 500},
		sandbox.Fault{Kind: sandbox.Status, Status: 502}, sandbox.Fault{Kind: sandbox.Hang, Before: true}, sandbox.Fault{Kind: sandbox.Reset, Before: true},
		sandbox.Fault{Kind: sandbox.NotJSON, Before: true},
	)}
	if lost {
		faults = append([]sandbox.Fault{
			{Kind: pick(d, sandbox.Reset, sandbox.CutOff, sandbox.NotJSON, sandbox.Hang), Probability: 0.05},
		}, faults...)
	}
	return faults
}

// spread puts the spells into the week in some order, with some time between any two.
func (s *story) spread(d dice) {
	d.Shuffle(len(s.spells), func(i, j int) { s.spells[i], s.spells[j] = s.spells[j], s.spells[i] })
	const pause = 30 * time.Minute
	left := s.long - time.Duration(len(s.spells)+1)*pause
	for _, p := range s.spells {
		left -= p.to
	}
	gaps := make([]time.Duration, len(s.spells))
	for i := range gaps {
		gaps[i] = time.Duration(d.Int64N(int64(left)))
	}
	slices.Sort(gaps)
	used := time.Duration(0)
	for i := range s.spells {
		s.spells[i].from = used + gaps[i] + time.Duration(i+1)*pause
		used += s.spells[i].to
		s.spells[i].to += s.spells[i].from
	}
}

func (s *story) drawEvents(d dice, days int) {
	scaled := func(n int) int { return max(1, n*days/7) }
	some := func(n int, w what, from, to time.Duration) {
		for range scaled(n) {
			s.events = append(s.events, event{
				at: d.between(time.Hour, s.long-2*time.Hour), what: w, slot: d.IntN(workers), long: d.between(from, to), mode: d.IntN(64),
			})
		}
	}
	some(15, death, 10*time.Second, time.Hour)
	some(3, rolling, 0, 0)
	some(5, partition, 5*time.Second, 10*time.Minute)
	some(3, redisAway, 2*time.Second, 25*time.Minute)
	some(2, redisStep, 10*time.Second, 10*time.Minute)
	some(1, flush, 0, 0)
	for _, p := range s.spells {
		if p.kind != slow {
			continue
		}
		for range 2 * scaled(4) {
			s.events = append(s.events, event{at: d.between(p.from, p.to), what: handAgain})
		}
	}
	slices.SortStableFunc(s.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
}

// drawOrders has orders come by day more than by night, some of them in crowds.
func (s *story) drawOrders(d dice, days int) {
	for range 12 * days {
		at := d.between(0, s.long-time.Hour)
		if hour := at % day / time.Hour; hour < 7 && d.IntN(3) > 0 {
			continue
		}
		for range pick(d, 1, 1, 1, 2, 8) {
			s.orders = append(s.orders, order{at: at + d.between(0, 20*time.Second), vouchers: drawVouchers(d)})
		}
	}
	for _, p := range s.spells { // while an endpoint is gone, or a call is slow, somebody calls
		for range 5 {
			s.orders = append(s.orders, order{at: d.between(p.from, p.to), vouchers: drawVouchers(d)})
		}
		// Whose turn it is to probe goes round. The ledger keeps an upload's last 100 attempts, and
		// the audit wants to see all.
		for range (p.to - p.from) / (90 * time.Minute) {
			s.orders = append(s.orders, order{at: d.between(p.from, p.from+10*time.Minute), vouchers: drawVouchers(d)})
		}
	}
	for i := range s.orders {
		if d.IntN(60) == 0 {
			s.dead = append(s.dead, i)
			s.orders[i].vouchers = s.orders[i].vouchers[:1]
		}
	}
}

func drawVouchers(d dice) []voucher {
	vs := make([]voucher, pick(d, 1, 1, 1, 2, 3))
	for i := range vs {
		vs[i] = voucher{after: d.between(0, pick(d, time.Second, 20*time.Minute)), size: pick(d, 0, 0, 0, 5_000, 90_000)}
		if d.IntN(100) == 0 {
			vs[i].size = 300_000 // too large to be kept with its record
		}
	}
	return vs
}

func orderID(i int) string { return fmt.Sprintf("order-%04d", i) }

// refusal is what the API answers to an order that it will not have.
const refusal = 40001

// faults are those of the orders that the API will not have.
func (s *story) faults() []sandbox.Fault {
	var faults []sandbox.Fault
	for _, i := range s.dead {
		faults = append(faults, sandbox.Fault{Kind: sandbox.Refuse, Code: refusal, OrderID: orderID(i), Msg: "the order is closed"})
	}
	return faults
}

// lines writes the story.
func (s *story) lines() []string {
	lines := map[time.Duration]string{}
	for _, p := range s.spells {
		lines[p.from] = fmt.Sprintf("%s for %v; %s; the API's clock is %v ahead", p.kind, (p.to - p.from).Round(time.Second), faultsText(p.faults), p.ahead)
	}
	for _, e := range s.events {
		lines[e.at] = fmt.Sprintf("%s of worker %d for %v, mode %d", e.what, e.slot+1, e.long.Round(time.Millisecond), e.mode)
	}
	var out []string
	for _, at := range slices.Sorted(maps.Keys(lines)) {
		out = append(out, stampOf(at)+" "+lines[at])
	}
	return out
}

func faultsText(faults []sandbox.Fault) string {
	text, err := json.Marshal(faults)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stampOf writes a time of the week.
func stampOf(at time.Duration) string {
	return fmt.Sprintf("day %d %02d:%02d:%06.3f", at/day+1, at%day/time.Hour, at%time.Hour/time.Minute, (at % time.Minute).Seconds())
}
