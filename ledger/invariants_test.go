package ledger_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/voucherd/voucherd/ledger"
)

// check compares the ledger with its model, and its indexes with its records.
func (m *machine) check(t *rapid.T) {
	index := map[ledger.State][]string{}
	sending := map[string]int{}
	var heads []string
	for id, want := range m.uploads {
		u := m.get(id)
		index[u.State] = append(index[u.State], m.key(id))
		if m.head(want.order) == want {
			heads = append(heads, m.key(id))
		}
		if u.State == ledger.Sending {
			if sending[want.order]++; sending[want.order] > 1 || m.head(want.order) != want {
				t.Fatalf("%s is being sent, and is not the only one of its line, or not its head", id)
			}
		}
		if u.State != want.state || u.Generation != want.generation || u.AttemptCount != len(want.attempts) ||
			u.Refusals != want.refusals || u.VaultKey != want.vault {
			t.Fatalf("upload %+v, want %+v", u, want)
		}
		m.checkAttempts(t, u, want)
	}
	for _, s := range ledger.States() {
		got, err := m.rdb.ZRange(m.ctx, m.prefix()+"s:"+string(s), 0, -1).Result()
		m.must(err)
		same(t, "index of "+string(s), got, index[s])
	}
	got, err := m.rdb.ZRange(m.ctx, m.prefix()+"look", 0, -1).Result()
	m.must(err)
	same(t, "uploads that must have a task", got, heads)
}

// checkAttempts compares the attempts: each is there, once, and found by its request id; at most the last one runs.
func (m *machine) checkAttempts(t *rapid.T, u ledger.Upload, want *modelUpload) {
	if len(u.Attempts) != len(want.attempts) {
		t.Fatalf("attempts %+v, want %d", u.Attempts, len(want.attempts))
	}
	for i, a := range u.Attempts {
		w := want.attempts[i]
		if a.Number != i+1 || a.Nonce != w.run.Nonce || a.Verdict != w.verdict || a.RequestID != w.request {
			t.Fatalf("attempt %+v, want %+v", a, w)
		}
		if a.Verdict == "" && (i+1 < len(u.Attempts) || u.State != ledger.Sending) {
			t.Fatalf("attempt %+v of an upload that is %s has no end", a, u.State)
		}
	}
	if n := len(u.Attempts); n > 0 && u.Attempts[n-1].RequestID != "" {
		us, err := m.Find(m.ctx, u.Attempts[n-1].RequestID)
		m.must(err)
		if len(us) != 1 || us[0].ID != u.ID {
			t.Fatalf("request id of %+v finds %+v", u.Attempts[n-1], us)
		}
	}
}

func same(t *rapid.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}
