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

// Who says who acts, and why. Both may be empty; control characters are replaced, and what is too
// long is cut.
type Who struct {
	By     string // a token's name, or a user and host; at most 128 bytes are kept
	Reason string // at most 300 bytes are kept
}

// text is how the scripts take it.
func (w Who) text() string { return line(w.By, 128) + "\t" + line(w.Reason, 300) }

// Reopen sends a rejected or expired upload again, with a fresh budget and age limit, at the end of
// its order queue; a waiting one is due now. The caller puts the task. Errors: ErrNotFound,
// ErrNotKept, *StateError.
func (l *Ledger) Reopen(ctx context.Context, id string, who Who) (Task, error) {
	account, key, err := ParseID(id)
	if err != nil {
		return Task{}, err
	}
	// Redis may get the call twice, when its reply is lost: by the token it knows that it is one
	// and the same.
	token := strconv.FormatUint(rand.Uint64(), 36)
	r, err := l.run(ctx, l.scripts.reopen, account, key, token, who.text())
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
func (l *Ledger) Discard(ctx context.Context, id string, who Who) (next Task, worthless int64, err error) {
	account, key, err := ParseID(id)
	if err != nil {
		return Task{}, 0, err
	}
	r, err := l.run(ctx, l.scripts.discard, account, key, who.text())
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
