package worker_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/worker"
)

// TestAccountsDoNotSlowEachOther compares how long an account's calls take alone and beside two
// others, of which one is refused and one is down.
func TestAccountsDoNotSlowEachOther(t *testing.T) {
	t.Parallel()
	l := goLive(t, func(b *bundle) { b.conc = 4 })
	l.bundle.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(200 * time.Millisecond)})
	refusing := sandbox.New(sandbox.Config{})
	server := httptest.NewServer(refusing)
	t.Cleanup(func() { refusing.Close(); server.Close() })
	down := httptest.NewServer(nil)
	down.Close()
	all := []worker.AccountConfig{l.now}
	for name, url := range map[string]string{"ref" + l.account[3:]: server.URL, "dwn" + l.account[3:]: down.URL} {
		api, err := pandapon.NewClient(pandapon.Config{BaseURL: url, CallTimeout: l.set.CallTimeout})
		l.must(err)
		t.Cleanup(api.Close)
		all = append(all, l.with(func(ac *worker.AccountConfig) { ac.Name, ac.API = name, api }))
		for n := range 100 {
			l.enqueueFor(name, n)
		}
	}
	best := 0.0
	for round := range 5 { // a machine that is busy slows either
		alone := l.timed(1000 * round)
		l.must(l.SetAccounts(l.ctx, all))
		best = max(best, float64(alone)/float64(l.timed(1000*round+500)))
		l.must(l.SetAccounts(l.ctx, all[:1]))
		if best >= 0.9 {
			break
		}
	}
	t.Logf("beside the others it has %.2f of its throughput alone", best)
	if best < 0.9 {
		t.Errorf("beside the others it has %.2f of its throughput alone, want 0.9", best)
	}
}

// timed has vouchers delivered, numbered from n on, and says how long their calls took in all.
func (l *live) timed(n int) time.Duration {
	l.t.Helper()
	var ids []string
	before := len(l.bundle.api.Requests())
	for i := range 60 {
		ids = append(ids, l.enqueueFor(l.account, n+i))
	}
	l.reaches(ledger.Delivered, ids...)
	calls := l.bundle.api.Requests()[before:]
	return calls[len(calls)-1].At.Sub(calls[10].At) // the first ones start slowly
}
