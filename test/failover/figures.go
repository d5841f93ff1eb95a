package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/process"
)

// figures are what a trial came to.
type figures struct {
	Accepted  int
	Forgotten int // of them, what Redis did not know afterwards
	Restored  int // of the forgotten, what was known in the end: rebuilt, or told again by a worker
	Lost      int // neither known nor at the API in the end
	Rejected  int // known, and not delivered
	Calls     int // that the API got
	Unknown   int // of them, what the ledger knows nothing of
	Doubled   int // vouchers that the API took more than once: Redis forgot that they were delivered

	NoAccepting  time.Duration // the longest time in which nothing was accepted
	NoDelivering time.Duration // the longest time in which nothing arrived
}

// count rebuilds where the store can, and holds what was accepted and what the API saw against the
// ledger.
func (d *deployment) count(ctx context.Context) (f figures, err error) {
	f.Accepted = len(d.accepted)
	forgotten, err := d.forgotten(ctx)
	if err != nil {
		return f, err
	}
	f.Forgotten = len(forgotten)
	if d.Store != storeRedis {
		if _, err = d.first.Store.Tasks.Rebuild(ctx, func(int, int) {}); err != nil {
			return f, fmt.Errorf("rebuild: %w", err)
		}
		if err = d.settled(ctx); err != nil {
			return f, err
		}
	}
	still, err := d.forgotten(ctx)
	if err != nil {
		return f, err
	}
	f.Restored = f.Forgotten - len(still)
	told := f
	_ = process.Until(ctx, toldAgain, "every call is known", func() bool { // else the figures say so
		told = f
		err = d.audit(ctx, &told)
		return err != nil || told.Unknown == 0
	})
	return told, err
}

// toldAgain is how long the workers take to tell the last Redis all that a former one knew.
const toldAgain = 45 * time.Second

// forgotten are the uploads that were accepted and are not recorded.
func (d *deployment) forgotten(ctx context.Context) (ids []string, err error) {
	for id := range d.accepted {
		switch _, err := d.first.Store.Tasks.Get(ctx, id); {
		case errors.Is(err, ledger.ErrNotFound):
			ids = append(ids, id)
		case err != nil:
			return nil, err
		}
	}
	return ids, nil
}

// audit fills in what the API's log says.
func (d *deployment) audit(ctx context.Context, f *figures) error {
	requests := d.api.Requests()
	f.Calls = len(requests)
	known := map[string]bool{}     // nonces
	delivered := map[string]bool{} // by order and voucher
	for id := range d.accepted {
		u, err := d.first.Store.Tasks.Get(ctx, id)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		if u.State != ledger.Delivered {
			f.Rejected++
		}
		for _, a := range u.Attempts {
			known[a.Nonce] = true
		}
		delivered[u.OrderID+u.SHA256] = true
	}
	taken := map[string][]string{} // nonces, by order and voucher
	var arrivals []time.Time
	for _, r := range requests {
		if !known[r.Nonce] {
			f.Unknown++
		}
		if r.Accepted {
			taken[r.OrderID+r.SHA256] = append(taken[r.OrderID+r.SHA256], r.Nonce)
			arrivals = append(arrivals, r.At)
		}
	}
	for voucher, nonces := range taken {
		delivered[voucher] = true
		if len(nonces) > 1 {
			f.Doubled++
		}
	}
	f.Lost = f.Accepted - len(delivered)
	f.NoAccepting, f.NoDelivering = longest(d.times()), longest(arrivals)
	return nil
}

func (d *deployment) times() []time.Time {
	var all []time.Time
	for _, at := range d.accepted {
		all = append(all, at)
	}
	return all
}

// longest is the longest time between two of these that follow each other.
func longest(times []time.Time) (d time.Duration) {
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		d = max(d, times[i].Sub(times[i-1]))
	}
	return d.Round(10 * time.Millisecond)
}

// row is a line of the table.
func (t trial) row(f figures) string {
	wait := "no"
	if t.Wait {
		wait = "all replicas"
	}
	cells := []any{
		t.Ways[0], t.Fsync, wait, t.Store, f.Accepted, f.Forgotten, f.Restored, f.Lost, f.Unknown, f.Doubled,
		f.NoAccepting.Seconds(), f.NoDelivering.Seconds(),
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %d | %d | %d | %d | %d | %d | %.1f s | %.1f s |\n", cells...)
}

// header begins the table.
func header() string {
	names := []string{
		"failover, twice", "appendfsync", "WAIT", "vouchers in", "accepted", "forgotten by Redis", "found again", "lost",
		"calls not in the ledger", "sent twice", "longest without accepting", "longest without delivering",
	}
	return "| " + strings.Join(names, " | ") + " |\n|" + strings.Repeat("---|", len(names)) + "\n"
}
