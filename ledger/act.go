package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Task names a task that is to be put on the queue.
type Task struct {
	ID         string
	Generation int64 // 0: no task is to be put
	Replaces   int64 // the generation whose task it makes worthless; 0: none
}

// Reopen sends a rejected or expired upload again, with a fresh budget and age limit, at the end of
// its order queue; a waiting one is due now. The caller puts the task. Errors: ErrNotFound,
// ErrNotKept, *StateError.
func (l *Ledger) Reopen(ctx context.Context, id string) (Task, error) {
	account, key, err := ParseID(id)
	if err != nil {
		return Task{}, err
	}
	// Redis may get the call twice, when its reply is lost: by the token it knows that it is one
	// and the same.
	token := strconv.FormatUint(rand.Uint64(), 36)
	r, err := l.run(ctx, l.scripts.reopen, account, key, token)
	if err != nil {
		return Task{}, fmt.Errorf("retry %s: %w", id, err)
	}
	switch r.text(0) {
	case "reopened":
		return Task{ID: id, Generation: r.num(1), Replaces: r.num(2)}, nil
	case "gone":
		return Task{}, fmt.Errorf("retry %s: %w", id, ErrNotKept)
	case "refused":
		return Task{}, &StateError{ID: id, State: State(r.text(1))}
	default:
		return Task{}, fmt.Errorf("retry %s: %w", id, ErrNotFound)
	}
}

// Discard gives up on an upload that is not being sent. It gives the task of the head of the order
// queue, which the caller puts, and the generation whose task is now worthless. Errors:
// ErrNotFound, *StateError.
func (l *Ledger) Discard(ctx context.Context, id string) (next Task, worthless int64, err error) {
	account, key, err := ParseID(id)
	if err != nil {
		return Task{}, 0, err
	}
	r, err := l.run(ctx, l.scripts.discard, account, key)
	if err != nil {
		return Task{}, 0, fmt.Errorf("discard %s: %w", id, err)
	}
	switch r.text(0) {
	case "discarded":
		if k := r.text(1); k != "" {
			next = Task{ID: account + "-" + k, Generation: r.num(2)}
		}
		return next, r.num(3), nil
	case "refused":
		return Task{}, 0, &StateError{ID: id, State: State(r.text(1))}
	default:
		return Task{}, 0, fmt.Errorf("discard %s: %w", id, ErrNotFound)
	}
}
