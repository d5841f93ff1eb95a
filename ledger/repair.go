package ledger

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Repair is one task that must be put because an unfinished upload has none that lives.
type Repair struct {
	Task
	Wait time.Duration // until the upload's next attempt is due
}

// PassResult is what a pass over an account found.
type PassResult struct {
	Lead    bool // it is this worker's turn to reconcile the account; else the rest is zero
	Repairs []Repair
	Needed  int64 // uploads that must have a task
	Tasks   int64 // tasks there are
}

// Pass begins a round of reconciling an account, if it is this worker's turn: one worker at a time
// does it, and renews its turn with each call. It looks at uploads whose attempt has outlived its
// lease, and compares counts; where these disagree for long, Sweep finds out why. The caller puts
// the tasks.
func (l *Ledger) Pass(ctx context.Context, account, worker string, turn time.Duration) (PassResult, error) {
	r, err := l.run(ctx, l.scripts.pass, account, "", worker, turn.Milliseconds(), l.set.lookAtOnce, l.set.Grace.Milliseconds())
	if err != nil {
		return PassResult{}, fmt.Errorf("reconcile account %s: %w", account, err)
	}
	return PassResult{Lead: r.num(0) == 1, Needed: r.num(1), Tasks: r.num(2), Repairs: readRepairs(account, r, 3)}, nil
}

// SweepResult is one page of a sweep.
type SweepResult struct {
	Repairs []Repair
	Cursor  string // of the next page; "": the sweep is over
}

// SweepRecords is the cursor at which a sweep has seen every upload that an index of unfinished
// ones names, and goes on to the records themselves, finished ones too.
const SweepRecords = "records:0"

// Sweep looks at a page of everything, for when tasks or index entries were lost: an unfinished
// upload whose task is gone for longer than the grace gets a new generation, and what the indexes
// lack is put back. It begins and ends with the cursor ""; a page has about limit entries. The
// caller puts the tasks.
func (l *Ledger) Sweep(ctx context.Context, account, cursor string, limit int) (SweepResult, error) {
	r, err := l.run(ctx, l.scripts.sweep, account, "", limit, cmp.Or(cursor, "sending:0"),
		l.set.Grace.Milliseconds(), l.set.KeepDead.Milliseconds())
	if err != nil {
		return SweepResult{}, fmt.Errorf("look at the uploads of account %s: %w", account, err)
	}
	return SweepResult{Cursor: r.text(0), Repairs: readRepairs(account, r, 1)}, nil
}

// readRepairs reads the rest of a reply from index i on.
func readRepairs(account string, r reply, i int) (found []Repair) {
	for ; i+2 < len(r); i += 3 {
		found = append(found, Repair{
			Task: Task{ID: account + "-" + r.text(i), Generation: r.num(i + 1)}, Wait: millis(r.num(i + 2)),
		})
	}
	return found
}

// stuckAfter is how long a lease of asynq's must have run out before its task counts as stuck.
// asynq itself recovers what it can within 90 s.
const stuckAfter = 3 * time.Minute

// RemoveStuck takes tasks out of the account's queue that asynq took up and never ends, such as one
// that it cannot decode, and gives their ids. An unfinished upload that loses its task so gets
// another with Sweep.
func (l *Ledger) RemoveStuck(ctx context.Context, account string) ([]string, error) {
	r, err := l.run(ctx, l.scripts.stuck, account, "", "asynq:{"+Queue(account)+"}:", int(stuckAfter.Seconds()))
	if err != nil {
		return nil, fmt.Errorf("remove stuck tasks of account %s: %w", account, err)
	}
	return reply{[]any(r)}.texts(0), nil
}

// Removed counts what one Remove took.
type Removed struct {
	Uploads  int
	Attempts int // of these uploads, or of one whose history is too long for one call
}

// removeAtOnce is how many uploads and attempts one call removes: Redis does nothing else for some
// milliseconds.
const removeAtOnce = 1000

// Remove takes delivered and discarded uploads that are older than retention out of the ledger,
// about 1,000 of them and their attempts together. It is called again until it has taken nothing.
func (l *Ledger) Remove(ctx context.Context, account string) (Removed, error) {
	r, err := l.run(ctx, l.scripts.remove, account, "", removeAtOnce, l.set.Retention.Milliseconds())
	if err != nil {
		return Removed{}, fmt.Errorf("remove old uploads of account %s: %w", account, err)
	}
	return Removed{Uploads: int(r.num(0)), Attempts: int(r.num(1))}, nil
}

// Kept names a voucher that is to leave the store. With the store key "" it has left already: the
// ledger kept it itself.
type Kept struct{ ID, StoreKey string }

// Leaving gives up to 500 vouchers whose time is over, and none when there are no more. The caller
// deletes them from the blob store and says so with Left.
func (l *Ledger) Leaving(ctx context.Context, account string) ([]Kept, error) {
	r, err := l.run(ctx, l.scripts.kept, account, "", l.set.lookAtOnce)
	if err != nil {
		return nil, fmt.Errorf("list vouchers of account %s that may go: %w", account, err)
	}
	var ks []Kept
	for i := 0; i+1 < len(r); i += 2 {
		ks = append(ks, Kept{ID: account + "-" + r.text(i), StoreKey: r.text(i + 1)})
	}
	return ks, nil
}

// Left notes vouchers of an account that were deleted from the store.
func (l *Ledger) Left(ctx context.Context, account string, ks []Kept) error {
	args := []any{"gone"}
	for _, k := range ks {
		if _, key, err := ParseID(k.ID); err == nil && k.StoreKey != "" {
			args = append(args, key, k.StoreKey)
		}
	}
	if len(args) == 1 {
		return nil
	}
	if _, err := l.run(ctx, l.scripts.kept, account, args...); err != nil {
		return fmt.Errorf("note vouchers of account %s as gone: %w", account, err)
	}
	return nil
}
