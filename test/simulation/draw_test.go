package simulation

import (
	"reflect"
	"testing"
	"time"
)

// TestStories holds that a seed always gives the same story, that a week has what it must have, and
// that spells come one after the other.
func TestStories(t *testing.T) {
	t.Parallel()
	for n := range uint64(200) {
		s := draw(n, 7)
		if !reflect.DeepEqual(s, draw(n, 7)) {
			t.Fatalf("seed %d gives two stories", n)
		}
		kinds, deaths, end := map[kind]time.Duration{}, 0, time.Duration(0)
		for _, p := range s.spells {
			if p.from < end || p.to > s.long {
				t.Errorf("seed %d: %s from %v to %v", n, p.kind, p.from, p.to)
			}
			end = p.to
			kinds[p.kind] = max(kinds[p.kind], p.to-p.from)
		}
		for _, e := range s.events {
			if e.what == death {
				deaths++
			}
		}
		if kinds[outage] < day || kinds[credentials] == 0 || kinds[retirement] == 0 || deaths < 10 {
			t.Errorf("seed %d: %v, %d deaths", n, kinds, deaths)
		}
		draw(n, 1) // there is room
	}
}
