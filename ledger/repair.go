package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Repair is one task that must be put because an unfinished upload has none that lives.
type Repair struct {
	Task
	Wait time.Duration // until the upload's next attempt is due
}

// ScanResult is what a look at the unfinished uploads found.
type ScanResult struct {
	Repairs []Repair
	Full    bool   // there may be more that is due
	Needed  int64  // uploads that must have a task
	Tasks   int64  // tasks there are
	Cursor  string // of the next page of a sweep; "": the sweep is over
}

// Due looks at the unfinished uploads whose time for it has come, at most 500, and gives a new
// generation to those without a task. The caller puts the tasks.
func (l *Ledger) Due(ctx context.Context, account string) (ScanResult, error) {
	return l.look(ctx, account, "-", l.set.lookAtOnce)
}

// SweepRecords is the cursor at which a sweep has seen every upload that an index of unfinished
// ones names, and goes on to the records themselves, finished ones too.
const SweepRecords = "records:0"

// Sweep looks at a page of everything, for when tasks or index entries were lost: it finds what Due
// would not, and puts it back into the indexes that lack it. It begins and ends with the cursor "";
// a page has about limit entries.
func (l *Ledger) Sweep(ctx context.Context, account, cursor string, limit int) (ScanResult, error) {
	return l.look(ctx, account, cmp.Or(cursor, "sending:0"), limit)
}

func (l *Ledger) look(ctx context.Context, account, cursor string, limit int) (ScanResult, error) {
	r, err := l.run(ctx, l.scripts.due, account, "", limit, "asynq:{"+Queue(account)+"}:", account,
		l.set.Grace.Milliseconds(), l.set.FirstLook.Milliseconds(), l.set.LongLook.Milliseconds(),
		l.set.KeepDead.Milliseconds(), cursor)
	if err != nil {
		return ScanResult{}, fmt.Errorf("look at the uploads of account %s: %w", account, err)
	}
	found := ScanResult{
		Full: r.num(0) >= int64(limit), Needed: r.num(1), Tasks: r.num(2), Cursor: r.text(3),
	}
	for i := 4; i+2 < len(r); i += 3 {
		found.Repairs = append(found.Repairs, Repair{
			Task: Task{ID: account + "-" + r.text(i), Generation: r.num(i + 1)}, Wait: millis(r.num(i + 2)),
		})
	}
	return found, nil
}

// stuckAfter is how long a lease of asynq's must have run out before its task counts as stuck.
// asynq itself recovers what it can within 90 s.
const stuckAfter = 3 * time.Minute

// RemoveStuck takes tasks out of the account's queue that asynq took up and never ends, such as one
// that it cannot decode, and gives their ids. An unfinished upload that loses its task so gets
// another with Due.
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

// Kept names a voucher that is to leave the store.
type Kept struct{ ID, StoreKey string }

// Leaving gives up to 500 vouchers whose time in the blob store is over. The caller deletes them
// and says so with Left.
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
	if len(ks) == 0 {
		return nil
	}
	args := []any{"gone"}
	for _, k := range ks {
		if _, key, err := ParseID(k.ID); err == nil {
			args = append(args, key, k.StoreKey)
		}
	}
	if _, err := l.run(ctx, l.scripts.kept, account, args...); err != nil {
		return fmt.Errorf("note vouchers of account %s as gone: %w", account, err)
	}
	return nil
}

// Lead says whether this worker may reconcile the account for the next while: one at a time does.
// It renews its turn each time it asks.
func (l *Ledger) Lead(ctx context.Context, account, worker string, turn time.Duration) (bool, error) {
	key := prefix(account) + "reconciler"
	got, err := l.rdb.SetNX(ctx, key, worker, turn).Result()
	if err != nil {
		return false, fmt.Errorf("ask to reconcile account %s: %w", account, err)
	}
	if got {
		return true, nil
	}
	holder, err := l.rdb.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask who reconciles account %s: %w", account, err)
	}
	if holder != worker {
		return false, nil
	}
	if err := l.rdb.PExpire(ctx, key, turn).Err(); err != nil {
		return false, fmt.Errorf("go on reconciling account %s: %w", account, err)
	}
	return true, nil
}
