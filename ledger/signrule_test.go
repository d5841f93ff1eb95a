package ledger_test

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

func TestTheLastSignRuleIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	if got, seen, err := b.SignRule(b.ctx, b.account); err != nil || got != (ledger.SignRule{}) || !seen.IsZero() {
		t.Errorf("before any was noted: %+v, %v, %v", got, seen, err)
	}
	now := ledger.Time{Time: time.Now().UTC().Truncate(time.Second)}
	want := ledger.SignRule{Parts: "secret,timestamp; hmac-sha256", Unit: "s"}
	b.must(b.NoteSignRule(b.ctx, b.account, ledger.SignRule{Parts: "secret", Unit: "ms"}, now))
	b.must(b.NoteSignRule(b.ctx, b.account, want, now))
	if got, seen, err := b.SignRule(b.ctx, b.account); err != nil || got != want || !seen.Equal(now.Time) {
		t.Errorf("noted %+v, %v, %v; want %+v, %v", got, seen, err, want, now)
	}
	if left, err := b.rdb.TTL(b.ctx, b.prefix()+"rule").Result(); err != nil || left <= 6*24*time.Hour || left > 7*24*time.Hour {
		t.Errorf("it is kept for %v, %v", left, err)
	}
}
