package ledger

import (
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

// Looked is what a look at the unfinished uploads found.
type Looked struct {
	Repairs []Repair
	Full    bool   // there may be more that is due
	Needed  int64  // uploads that must have a task
	Tasks   int64  // tasks there are
	Cursor  string // of the next page of a sweep; "0": the sweep is over
}

// Due looks at the unfinished uploads whose time for it has come, at most 500, and gives a new generation to those
// without a task. The caller puts the tasks.
func (l *Ledger) Due(ctx context.Context, lane string) (Looked, error) { return l.look(ctx, lane, "-") }

// Sweep looks at a page of all unfinished uploads, due or not, for when tasks were lost in bulk. It begins with the
// cursor "0".
func (l *Ledger) Sweep(ctx context.Context, lane, cursor string) (Looked, error) {
	return l.look(ctx, lane, cursor)
}

func (l *Ledger) look(ctx context.Context, lane, cursor string) (Looked, error) {
	r, err := l.run(ctx, l.scripts.due, lane, "", l.set.lookAtOnce, "asynq:{"+Queue(lane)+"}:", lane,
		l.set.Grace.Milliseconds(), l.set.FirstLook.Milliseconds(), l.set.LongLook.Milliseconds(), cursor)
	if err != nil {
		return Looked{}, fmt.Errorf("look at the uploads of lane %s: %w", lane, err)
	}
	found := Looked{
		Full: r.num(0) >= int64(l.set.lookAtOnce), Needed: r.num(1), Tasks: r.num(2), Cursor: r.text(3),
	}
	for i := 4; i+2 < len(r); i += 3 {
		found.Repairs = append(found.Repairs, Repair{
			Task: Task{ID: lane + "-" + r.text(i), Generation: r.num(i + 1)}, Wait: millis(r.num(i + 2)),
		})
	}
	return found, nil
}

// stuckAfter is how long a lease of asynq's must have run out before its task counts as stuck. asynq itself recovers
// what it can within 90 s.
const stuckAfter = 3 * time.Minute

// RemoveStuck takes tasks out of the lane's queue that asynq took up and never ends, such as one that it cannot decode,
// and gives their ids. An unfinished upload that loses its task so gets another with Due.
func (l *Ledger) RemoveStuck(ctx context.Context, lane string) ([]string, error) {
	r, err := l.run(ctx, l.scripts.stuck, lane, "", "asynq:{"+Queue(lane)+"}:", int(stuckAfter.Seconds()))
	if err != nil {
		return nil, fmt.Errorf("remove stuck tasks of lane %s: %w", lane, err)
	}
	return reply{[]any(r)}.texts(0), nil
}

// Remove takes up to 500 delivered and 500 discarded uploads that are older than retention out of the ledger, and says
// how many it took.
func (l *Ledger) Remove(ctx context.Context, lane string) (int, error) {
	r, err := l.run(ctx, l.scripts.remove, lane, "", l.set.lookAtOnce, l.set.Retention.Milliseconds())
	if err != nil {
		return 0, fmt.Errorf("remove old uploads of lane %s: %w", lane, err)
	}
	return int(r.num(0)), nil
}

// Kept names a voucher that is to leave the vault.
type Kept struct{ ID, VaultKey string }

// Leaving gives up to 500 vouchers whose time in the vault is over. The caller deletes them and says so with Left.
func (l *Ledger) Leaving(ctx context.Context, lane string) ([]Kept, error) {
	r, err := l.run(ctx, l.scripts.kept, lane, "", l.set.lookAtOnce)
	if err != nil {
		return nil, fmt.Errorf("list vouchers of lane %s that may go: %w", lane, err)
	}
	var ks []Kept
	for i := 0; i+1 < len(r); i += 2 {
		ks = append(ks, Kept{ID: lane + "-" + r.text(i), VaultKey: r.text(i + 1)})
	}
	return ks, nil
}

// Left notes vouchers of a lane that were deleted from the vault.
func (l *Ledger) Left(ctx context.Context, lane string, ks []Kept) error {
	if len(ks) == 0 {
		return nil
	}
	args := []any{"gone"}
	for _, k := range ks {
		if _, key, err := ParseID(k.ID); err == nil {
			args = append(args, key, k.VaultKey)
		}
	}
	if _, err := l.run(ctx, l.scripts.kept, lane, args...); err != nil {
		return fmt.Errorf("note vouchers of lane %s as gone: %w", lane, err)
	}
	return nil
}

// Lead says whether this worker may reconcile the lane for the next while: one at a time does. It renews its turn each
// time it asks.
func (l *Ledger) Lead(ctx context.Context, lane, worker string, turn time.Duration) (bool, error) {
	key := prefix(lane) + "reconciler"
	got, err := l.rdb.SetNX(ctx, key, worker, turn).Result()
	if err != nil {
		return false, fmt.Errorf("ask to reconcile lane %s: %w", lane, err)
	}
	if got {
		return true, nil
	}
	holder, err := l.rdb.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask who reconciles lane %s: %w", lane, err)
	}
	if holder != worker {
		return false, nil
	}
	if err := l.rdb.PExpire(ctx, key, turn).Err(); err != nil {
		return false, fmt.Errorf("go on reconciling lane %s: %w", lane, err)
	}
	return true, nil
}
