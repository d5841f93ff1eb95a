package worker_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// TestClockSkew has an API whose clock is an hour ahead: two calls are refused, and tell the time
// alike; the next one is signed with it.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ahead := sandbox.New(sandbox.Config{
		Credentials: []pandapon.Credentials{{AccessKey: b.creds.AccessKey, Secret: b.creds.Secret}},
		Now:         func() time.Time { return time.Now().Add(time.Hour) },
	})
	server := httptest.NewServer(ahead)
	t.Cleanup(func() { ahead.Close(); server.Close() })
	b.url = server.URL
	u := b.enqueue("order", 1)
	b.start("w1")
	b.reaches(ledger.Delivered, u.ID)
	if vs := b.outcomes(u.ID); len(vs) != 3 || vs[1] != ledger.OutcomeRefused {
		t.Errorf("outcomes %v, want refused, refused, delivered", vs)
	}
	if ms := b.shownSkew(); ms < 3_590_000 || ms > 3_610_000 {
		t.Errorf("the skew is shown as %d ms", ms)
	}
	if b.logs.FilterMessage("clock.skewed").Len() != 1 {
		t.Error("the skew is not logged once")
	}
}

// shownSkew is what doctor and the account's page show.
func (b *bundle) shownSkew() int64 {
	b.t.Helper()
	accounts, err := b.client.Accounts(b.ctx)
	b.must(err)
	for _, l := range accounts {
		if l.Account == b.account {
			return l.ClockSkewMS
		}
	}
	return 0
}

// TestClockThatIsNotBelieved answers with dates that are not PandaPon's, or that cannot be right,
// before the API takes the voucher, which it does only with a timestamp of this host's clock.
func TestClockThatIsNotBelieved(t *testing.T) {
	t.Parallel()
	const envelope = `{"requestId":"r","code":503,"developId":"1","msg":"busy"}`
	for _, c := range []struct {
		name, body string
		ahead      []time.Duration // one a call
		warnings   int
	}{
		{"a proxy in 1970", "<html>", []time.Duration{-50 * 365 * 24 * time.Hour, -50 * 365 * 24 * time.Hour}, 1},
		{"a proxy an hour ahead", "", []time.Duration{time.Hour, time.Hour, time.Hour}, 1},
		{"a proxy that answers JSON", `{"code":503}`, []time.Duration{time.Hour, time.Hour}, 1},
		{"beyond a day", envelope, []time.Duration{25 * time.Hour, 25 * time.Hour}, 1},
		{"no two alike", envelope, []time.Duration{time.Hour, 2 * time.Hour, time.Hour}, 0},
		{"alike, another between", envelope, []time.Duration{time.Hour, 0, time.Hour, 0}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var calls atomic.Int64
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := int(calls.Add(1)) - 1
				if n >= len(c.ahead) {
					b.api.ServeHTTP(w, r)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Date", time.Now().Add(c.ahead[n]).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, c.body)
			}))
			t.Cleanup(front.Close)
			b.url = front.URL
			u := b.enqueue("order", 1)
			b.start("w1")
			b.reaches(ledger.Delivered, u.ID)
			if vs := b.outcomes(u.ID); len(vs) != len(c.ahead)+1 {
				t.Errorf("outcomes %v, want %d unavailable, delivered", vs, len(c.ahead))
			}
			if ms := b.shownSkew(); ms != 0 || b.logs.FilterMessage("clock.skewed").Len() != 0 {
				t.Errorf("a skew of %d ms was learned", ms)
			}
			if n := b.logs.FilterMessage("clock.untrusted").Len(); n != c.warnings {
				t.Errorf("%d warnings, want %d", n, c.warnings)
			}
		})
	}
}
