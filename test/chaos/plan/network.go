package plan

import (
	"math/rand/v2"
	"time"

	"github.com/voucherd/voucherd/test/proxy"
)

// Network is what a run of a network that lies does: each list is one way through it, and its faults
// come one after the other.
type Network struct {
	Orders    []Order
	Producers []NetworkFault // between producers and Redis
	Workers   [][]NetworkFault
	API       []NetworkFault // between all workers and the API
	Length    time.Duration  // until all ways work again for good
}

// NetworkFault is a fault of the network for a while.
type NetworkFault struct {
	At, For time.Duration
	Name    string
	Fault   proxy.Fault
}

// perNetworkRound is how many vouchers each way's faults come once for.
const perNetworkRound = 300

// NewNetwork makes the plan of a run in which every process works, and none of the ways between them.
func NewNetwork(o Options) (out Network) {
	p := planner{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	const redisCall, vouchers, answer = 1500, 30 << 10, 400 // bytes: after so many, at most, connections end
	faults := func(up, down int) (all []NetworkFault) {
		at := time.Second
		for range max(1, o.Vouchers/perNetworkRound) {
			round := p.networkFaults(up, down)
			for _, f := range round {
				f.At = at + p.between(50*time.Millisecond, 250*time.Millisecond)
				at = f.At + f.For
				all = append(all, f)
			}
		}
		out.Length = max(out.Length, at)
		return all
	}
	out.Producers = faults(redisCall, redisCall)
	for range o.Workers {
		out.Workers = append(out.Workers, faults(redisCall, redisCall))
	}
	out.API = faults(vouchers, answer)
	out.Orders = p.orders(out.Length)
	return out
}

// networkFaults lets every fault come once, in any order.
func (p planner) networkFaults(up, down int) []NetworkFault {
	all := []NetworkFault{
		{Name: "slow", Fault: proxy.Fault{
			Delay: p.between(20*time.Millisecond, 300*time.Millisecond), Jitter: p.between(20*time.Millisecond, 300*time.Millisecond),
		}},
		{Name: "nothing passes", Fault: proxy.Fault{Hold: true}},
		{Name: "half-open connections", Fault: proxy.Fault{Silent: true}},
		{Name: "cut on the way there", Fault: proxy.Fault{CutUp: 1 + p.rng.IntN(up)}},
		{Name: "cut on the way back", Fault: proxy.Fault{CutDown: 1 + p.rng.IntN(down)}},
		{Name: "reset while the answer is under way", Fault: proxy.Fault{CutDown: 1 + p.rng.IntN(down/8), Reset: true}},
		{Name: "slow to close", Fault: proxy.Fault{SlowClose: p.between(time.Second, 3*time.Second)}},
	}
	for i := range all {
		all[i].For = p.between(300*time.Millisecond, time.Second)
		if all[i].Fault.Hold { // longer than a call may take
			all[i].For += p.between(time.Second, 2*time.Second)
		}
	}
	p.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
