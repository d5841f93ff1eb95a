package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// losing gives facts that agree, of a Redis that lost what was written between the 100th and the
// 110th second.
func losing() audit.Facts {
	f := agreeing()
	f.Enqueued[0].At, f.Enqueued[1].At = at(0), at(1)
	f.InRedis = true
	f.Uploads["u1"].Attempts[0].Outcome = ledger.OutcomeDelivered
	f.Losses = []audit.Loss{{From: at(100_000), Gone: at(110_000), Back: at(111_000)}}
	return f
}

// move shifts when an upload was accepted, and all requests, by so many milliseconds.
func move(f *audit.Facts, ms int) {
	for i := range f.Enqueued {
		f.Enqueued[i].At = f.Enqueued[i].At.Add(time.Duration(ms) * time.Millisecond)
		f.Enqueued[i].Asked = f.Enqueued[i].At
	}
	for i := range f.Requests {
		f.Requests[i].At = f.Requests[i].At.Add(time.Duration(ms) * time.Millisecond)
		f.Requests[i].AnsweredAt = f.Requests[i].AnsweredAt.Add(time.Duration(ms) * time.Millisecond)
	}
}

func once(f *audit.Facts) { f.Requests = f.Requests[1:] } // an answer that was lost is none of Redis' losses

func TestWhatRedisMayForget(t *testing.T) {
	t.Parallel()
	const within, before = 105_000, 50_000
	forget := func(f *audit.Facts) { delete(f.Uploads, "u2"); delete(f.Found, "r3") }
	for _, c := range []struct {
		name   string
		change func(*audit.Facts)
		broken string // part of the name of the one check that is; empty: none
		want   audit.Forgotten
	}{
		{"nothing", once, "", audit.Forgotten{}},
		{"an upload accepted within a loss", func(f *audit.Facts) {
			once(f)
			move(f, within)
			forget(f)
		}, "", audit.Forgotten{Uploads: 1, Taken: 1, Calls: 1}},
		{"an upload accepted before", func(f *audit.Facts) {
			once(f)
			move(f, before)
			forget(f)
			f.Requests[1].At, f.Requests[1].AnsweredAt = at(within), at(within)
		}, "is delivered", audit.Forgotten{Calls: 1}},
		{"an upload whose producer heard of it long after a loss", func(f *audit.Facts) {
			once(f)
			move(f, within)
			forget(f)
			f.Enqueued[1].At = at(115_000)
		}, "", audit.Forgotten{Uploads: 1, Taken: 1, Calls: 1}},
		{"an upload asked for just after a loss", func(f *audit.Facts) {
			once(f)
			forget(f)
			f.Enqueued[1].Asked, f.Enqueued[1].At = at(110_100), at(110_200)
			f.Requests = f.Requests[:1]
		}, "is delivered", audit.Forgotten{}},
		{"of a file store, and it was taken", func(f *audit.Facts) {
			once(f)
			move(f, within)
			forget(f)
			f.InRedis = false
		}, "", audit.Forgotten{Uploads: 1, Taken: 1, Calls: 1}},
		{"of a file store, and it was not", func(f *audit.Facts) {
			once(f)
			move(f, within)
			forget(f)
			f.InRedis, f.Requests = false, f.Requests[:1]
		}, "is delivered", audit.Forgotten{}},
		{"rejected, and it was taken", func(f *audit.Facts) {
			once(f)
			u := f.Uploads["u2"]
			u.State = ledger.Rejected
			f.Uploads["u2"] = u
		}, "is delivered", audit.Forgotten{}},
		{"counts as delivered, and never arrived", func(f *audit.Facts) { f.Requests = f.Requests[1:2] }, "is delivered", audit.Forgotten{}},
		{"a call made before", func(f *audit.Facts) {
			once(f)
			f.Requests[1].Nonce = "forgotten"
			delete(f.Found, "r3")
		}, "is recorded", audit.Forgotten{}},
		{"a call made before, of which the request id is known", func(f *audit.Facts) {
			once(f)
			f.Requests[1].Nonce = "forgotten"
		}, "", audit.Forgotten{}},
		{"a call answered after the loss", func(f *audit.Facts) {
			once(f)
			f.Requests[1].Nonce = "forgotten"
			delete(f.Found, "r3")
			f.Requests[1].At, f.Requests[1].AnsweredAt = at(109_900), at(112_000)
		}, "is recorded", audit.Forgotten{}},
		{"sent twice around a loss", func(f *audit.Facts) {
			f.Requests[0].At, f.Requests[0].AnsweredAt = at(within), at(within)
			f.Requests[1].At, f.Requests[1].AnsweredAt = at(112_000), at(112_100)
		}, "", audit.Forgotten{}},
		{"sent twice, long before", func(*audit.Facts) {}, "sent again", audit.Forgotten{}},
		{"sent twice, for it was not clear whether it had arrived", func(f *audit.Facts) {
			f.Uploads["u1"].Attempts[0].Outcome = ledger.OutcomeUnclear
		}, "", audit.Forgotten{}},
		{"all, and sent twice around it", func(f *audit.Facts) {
			f.Losses[0].From = time.Time{}
			f.Requests[0].At, f.Requests[0].AnsweredAt = at(109_000), at(109_000)
			f.Requests[1].At, f.Requests[1].AnsweredAt = at(112_000), at(112_100)
		}, "", audit.Forgotten{}},
		{"all, and sent twice long before", func(f *audit.Facts) { f.Losses[0].From = time.Time{} }, "sent again", audit.Forgotten{}},
		{"nothing, and the second voucher came first", func(f *audit.Facts) {
			once(f)
			f.Enqueued[0].Place, f.Enqueued[1].Place = 1, 0
		}, "in the order", audit.Forgotten{}},
		{"the first voucher until it was put back", func(f *audit.Facts) {
			once(f)
			f.Enqueued[0].Place, f.Enqueued[1].Place = 1, 0
			f.Enqueued[0].Asked, f.Enqueued[0].At = at(110_500), at(111_500)
		}, "", audit.Forgotten{}},
		{"the first voucher, and it was back before the second", func(f *audit.Facts) {
			once(f)
			f.Enqueued[0].Place, f.Enqueued[1].Place = 1, 0
			f.Enqueued[0].Asked, f.Enqueued[0].At = at(111_100), at(111_500)
		}, "in the order", audit.Forgotten{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := losing()
			c.change(&f)
			r := audit.Run(f)
			lost := r.Forgotten
			found := broken(r)
			if c.broken == "" && len(found) > 0 || c.broken != "" && (len(found) != 1 || !strings.Contains(found[0], c.broken)) {
				t.Errorf("broken: %q, want %q alone", found, c.broken)
			}
			if lost != c.want {
				t.Errorf("lost %+v, want %+v", lost, c.want)
			}
		})
	}
}

// TestCallsThatBrokeOff holds that a call of which nobody can say whose it was is forgiven only where
// Redis lost uploads.
func TestCallsThatBrokeOff(t *testing.T) {
	t.Parallel()
	f := losing()
	once(&f)
	f.Requests = append(f.Requests, sandbox.Request{Number: 9, Nonce: "forgotten", At: at(109_900), AnsweredAt: at(112_000)})
	if found := broken(audit.Run(f)); len(found) != 1 || !strings.Contains(found[0], "is recorded") {
		t.Errorf("no upload was lost, and broken: %q", found)
	}
	f.Enqueued[1].Asked, f.Enqueued[1].At = at(105_000), at(105_001)
	r := audit.Run(f)
	for _, c := range r.Checks {
		if c.Broken > 0 && strings.Contains(c.Name, "is recorded") {
			t.Errorf("an upload may be lost, and broken: %+v", c)
		}
	}
	if r.Forgotten.Calls != 1 {
		t.Errorf("lost %+v, want one call", r.Forgotten)
	}
}
