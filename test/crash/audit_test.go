package crash_test

import (
	"errors"
	"slices"
	"strings"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// uploads gives what the ledger knows of what was accepted.
func (r *run) uploads() map[string]ledger.Upload {
	r.mu.Lock()
	enqueued := slices.Clone(r.enqueued)
	r.mu.Unlock()
	all := map[string]ledger.Upload{}
	for _, e := range enqueued {
		u, err := patiently(r, func() (ledger.Upload, error) { return r.open().Tasks.Get(r.Context(), e.UploadID) })
		if err == nil {
			all[u.ID] = u
		}
	}
	return all
}

// patiently asks again where Redis did not answer in time: with many lives at once the machine has
// much to do.
func patiently[T any](r *run, ask func() (T, error)) (answer T, err error) {
	const tries = 20
	for range tries {
		answer, err = ask()
		if _, away := errors.AsType[*tasks.UnreachableError](err); !away || r.Context().Err() != nil {
			break
		}
	}
	return answer, err
}

// delivered says whether all that was accepted is delivered.
func (r *run) delivered() bool {
	all := r.uploads()
	for _, u := range all {
		if u.State != ledger.Delivered {
			return false
		}
	}
	return len(all) == len(r.enqueued)
}

// settled says whether all is delivered, and no voucher is left in Redis, blob store or spool. What
// was cut off in the middle of being written stays for an hour.
func (r *run) settled() bool {
	if !r.delivered() {
		return false
	}
	for _, kind := range []string{"b", "v"} {
		if keys, err := r.rdb.Keys(r.Context(), "voucherd:{*}:"+kind+":*").Result(); err != nil || len(keys) > 0 {
			return false
		}
	}
	unclaimed, err := r.open().Blob.Unclaimed(r.Context(), r.account, 0, 10)
	if err != nil || len(unclaimed) > 0 {
		return false
	}
	for s, err := range r.open().Blob.All(r.Context()) {
		if err != nil || s.State != string(ledger.Delivered) {
			return false
		}
	}
	spooled, err := r.open().Tasks.Spooled()
	return err == nil && spooled.Vouchers == 0 && spooled.Refused == 0
}

// audit holds the ledger against the API's log, and says what is broken.
func (r *run) audit() (breaches []string) {
	r.Helper()
	f := audit.Facts{
		Enqueued: r.enqueued, Uploads: r.uploads(), Requests: r.api.Requests(), Found: map[string][]string{}, Killed: r.killed,
		RetriedFrom: r.asked, InRedis: !r.scenario.files,
	}
	ids := []string{}
	for _, q := range f.Requests {
		ids = append(ids, q.RequestID)
	}
	for _, u := range f.Uploads {
		for _, a := range u.Attempts {
			ids = append(ids, a.RequestID)
		}
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		us, err := patiently(r, func() ([]ledger.Upload, error) { return r.open().Tasks.Find(r.Context(), id) })
		if err != nil && !errors.Is(err, ledger.ErrNotFound) { // an answer that did not come back
			r.Errorf("find %s: %v", id, err)
		}
		f.Found[id] = nil
		for _, u := range us {
			f.Found[id] = append(f.Found[id], u.ID)
		}
	}
	for _, c := range audit.Run(f).Checks {
		if c.Broken > 0 {
			breaches = append(breaches, c.Name+": "+strings.Join(c.Where, "\n"))
		}
	}
	return breaches
}
