package sandbox

import (
	"math/rand/v2"
	"sync"
	"time"
)

// liveFault is a fault that was set, and what has come of it.
type liveFault struct {
	Fault
	Struck int       `json:"struck"`
	Until  time.Time `json:"until,omitzero"`
}

// faultSet is the faults set now. Safe for concurrent use.
type faultSet struct {
	mu     sync.Mutex
	dice   *rand.Rand
	faults []liveFault
}

// newFaultSet throws dice that fall alike for the same seed; 0 picks a seed.
func newFaultSet(seed uint64) *faultSet {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return &faultSet{dice: rand.New(rand.NewPCG(seed, seed))}
}

func (s *faultSet) replace(faults []Fault, now time.Time) {
	live := make([]liveFault, len(faults))
	for i, f := range faults {
		live[i].Fault = f
		if f.For > 0 {
			live[i].Until = now.Add(time.Duration(f.For))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = live
}

func (s *faultSet) list() []liveFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]liveFault{}, s.faults...)
}

// pick returns the fault that strikes a request, if any, and counts it. It is asked twice for each:
// early before the body is read, then, when none struck, with the order id.
func (s *faultSet) pick(r Request, early bool, now time.Time) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		f := &s.faults[i]
		if f.strikesEarly() != early || !f.live(now) || !f.matches(r) {
			continue
		}
		if f.Probability > 0 && s.dice.Float64() >= f.Probability {
			continue
		}
		f.Struck++
		return f.Fault, true
	}
	return Fault{}, false
}

func (f *liveFault) live(now time.Time) bool {
	return (f.Times == 0 || f.Struck < f.Times) && (f.Until.IsZero() || now.Before(f.Until))
}

func (f *liveFault) matches(r Request) bool {
	return (f.OrderID == "" || f.OrderID == r.OrderID) && (f.UserID == "" || f.UserID == r.UserID)
}
