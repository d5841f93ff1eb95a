package simulation

import (
	"testing"
	"time"
)

// TestNothingFailsBecauseRedisWasAway holds that uploads which waited for Redis need one attempt: a
// worker that was silent, and may have been taken for dead meanwhile, begins nothing before it has
// beaten again.
func TestNothingFailsBecauseRedisWasAway(t *testing.T) {
	t.Parallel()
	if mutant() {
		t.Skip("another test notices")
	}
	s := story{seed: 1, long: time.Hour, events: []event{{at: 10 * time.Minute, what: redisAway, long: 5 * time.Minute}}}
	for i := range 20 {
		s.orders = append(s.orders, order{at: 10*time.Minute + time.Duration(i+1)*time.Second, vouchers: []voucher{{}}})
	}
	w, f := run(t, s)
	w.report(t, f)
	for id, u := range f.uploads {
		if len(u.Attempts) != 1 {
			t.Errorf("%s: %+v", id, u.Attempts)
		}
	}
}
