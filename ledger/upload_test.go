package ledger_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/ledger"
)

func TestStates(t *testing.T) {
	t.Parallel()
	final := map[ledger.State]bool{ledger.Delivered: true, ledger.Rejected: true, ledger.Expired: true, ledger.Discarded: true}
	for _, s := range ledger.States() {
		if !s.Valid() || s.Final() != final[s] {
			t.Errorf("%s: valid %v, final %v", s, s.Valid(), s.Final())
		}
	}
	if n := len(ledger.States()); n != 7 || ledger.State("").Valid() || ledger.State("sent").Valid() {
		t.Errorf("%d states, or one of them is none", n)
	}
}

func TestUploadJSON(t *testing.T) {
	t.Parallel()
	at := ledger.Time{Time: time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.FixedZone("CET", 3600))}
	u := ledger.Upload{
		ID: "default-x", Account: "default", OrderID: "1022505290408395575", State: ledger.Delivered, Outcome: ledger.OutcomeDelivered,
		AttemptCount: 1, RequestID: "r", Code: "200", SHA256: "ab", Size: 3, Generation: 1, CreatedAt: at, UpdatedAt: at, DeliveredAt: at,
		Attempts: []ledger.Attempt{{Number: 1, Generation: 1, StartedAt: at, Nonce: "n", Worker: "w"}}, StoreKey: "secret place",
	}
	b, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	const when = `"2026-03-04T04:06:07.089Z"`
	want := strings.NewReplacer("\n", "", "\t", "", "WHEN", when).Replace(`{"id":"default-x","account":"default",
		"orderId":"1022505290408395575","state":"delivered","outcome":"delivered","attemptCount":1,"refusals":0,"requestId":"r",
		"code":"200","sha256":"ab","size":3,"generation":1,"createdAt":WHEN,"updatedAt":WHEN,"deliveredAt":WHEN,
		"attempts":[{"number":1,"generation":1,"startedAt":WHEN,"nonce":"n","worker":"w"}]}`)
	if string(b) != want {
		t.Errorf("JSON %s\nwant %s", b, want)
	}
	var back ledger.Upload
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	u.StoreKey = ""
	if diff := cmp.Diff(u, back, cmp.Comparer(func(a, b ledger.Time) bool { return a.Equal(b.Time) })); diff != "" {
		t.Errorf("read back (-want +got): %s", diff)
	}
	if text, err := at.MarshalText(); err != nil || `"`+string(text)+`"` != when {
		t.Errorf("text %s, %v, want %s", text, err, when)
	}
}

func TestSettingsDefaults(t *testing.T) {
	t.Parallel()
	got := ledger.New(nil, ledger.Settings{Grace: time.Second, Breaker: ledger.BreakerSettings{OutageRow: 2}}).Settings()
	if got.Grace != time.Second || got.Breaker.OutageRow != 2 {
		t.Errorf("settings %+v: what was set is not in force", got)
	}
	if got.MaxAge != 168*time.Hour || got.Retention != 720*time.Hour || got.Breaker.AccountRow != 3 || got.Breaker.RefusingRow != 5 || got.KeepSent != 0 {
		t.Errorf("settings %+v, want defaults for the rest", got)
	}
}
