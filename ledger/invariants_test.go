package ledger_test

import (
	"slices"

	"github.com/redis/go-redis/v9"
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
				t.Fatalf("%s is being sent, and is not the only one of its order queue, or not its head", id)
			}
		}
		if u.State != want.state || u.Generation != want.generation || u.AttemptCount != len(want.attempts) ||
			u.Refusals != want.refusals || u.StoreKey != want.store {
			t.Fatalf("upload %+v, want %+v", u, want)
		}
		var done []string
		for _, a := range u.Actions {
			done = append(done, a.Action)
		}
		if !slices.Equal(done, want.done[max(0, len(want.done)-50):]) {
			t.Fatalf("actions %q of %s, want %q", done, id, want.done)
		}
		m.checkAttempts(t, u, want)
	}
	pipe := m.rdb.Pipeline()
	got := map[ledger.State]*redis.StringSliceCmd{}
	for _, s := range ledger.States() {
		got[s] = pipe.ZRange(m.ctx, m.prefix()+"s:"+string(s), 0, -1)
	}
	behind := pipe.ZRange(m.ctx, m.prefix()+"s:behind", 0, -1)
	_, err := pipe.Exec(m.ctx)
	m.must(err)
	must := slices.Concat(got[ledger.Queued].Val(), got[ledger.Sending].Val(), got[ledger.Waiting].Val())
	same(t, "uploads that must have a task", must, heads)
	got[ledger.Queued].SetVal(append(got[ledger.Queued].Val(), behind.Val()...))
	for s, cmd := range got {
		same(t, "index of "+string(s), cmd.Val(), index[s])
	}
	m.checkRequestID(t)
}

// checkRequestID asserts that an attempt that ended not long ago is found by its request id.
func (m *machine) checkRequestID(t *rapid.T) {
	for _, a := range slices.Backward(m.attempts) {
		if a.request == "" {
			continue
		}
		us, err := m.Find(m.ctx, a.request)
		m.must(err)
		if len(us) != 1 || us[0].ID != a.upload.id {
			t.Fatalf("request id of attempt %d of %s finds %+v", a.run.Number, a.upload.id, us)
		}
		return
	}
}

// checkAttempts compares the attempts: each is there, once; at most the last one runs.
func (m *machine) checkAttempts(t *rapid.T, u ledger.Upload, want *modelUpload) {
	if len(u.Attempts) != len(want.attempts) {
		t.Fatalf("attempts %+v, want %d", u.Attempts, len(want.attempts))
	}
	for i, a := range u.Attempts {
		w := want.attempts[i]
		if a.Number != i+1 || a.Nonce != w.run.Nonce || a.Outcome != w.outcome || a.RequestID != w.request {
			t.Fatalf("attempt %+v, want %+v", a, w)
		}
		if a.Outcome == "" && (i+1 < len(u.Attempts) || u.State != ledger.Sending) {
			t.Fatalf("attempt %+v of an upload that is %s has no end", a, u.State)
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
