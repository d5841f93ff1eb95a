package worker_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// TestClockSkew has an API whose clock is an hour ahead: the first call is refused, and tells the time; the next one is
// signed with it.
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
	if vs := b.verdicts(u.ID); len(vs) != 2 || vs[0] != ledger.VerdictRefused {
		t.Errorf("verdicts %v, want refused, delivered", vs)
	}
	lanes, err := b.client.Lanes(b.ctx)
	b.must(err)
	for _, l := range lanes {
		if l.Lane == b.lane && (l.ClockSkewMS < 3_590_000 || l.ClockSkewMS > 3_610_000) {
			t.Errorf("the skew is shown as %d ms", l.ClockSkewMS)
		}
	}
	if b.logs.FilterMessage("clock.skewed").Len() != 1 {
		t.Error("the skew is not logged once")
	}
}
