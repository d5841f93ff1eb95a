package tasks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
)

// ErrNoRoom means that Redis is so full that a further voucher could stop the backlog from
// draining.
var ErrNoRoom = errors.New("redis has no room: over 80 % of its maxmemory is used. Let the backlog drain, raise maxmemory, or use a file store")

// roomShare is the share of maxmemory above which nothing is accepted. At maxmemory itself neither
// a task can be fetched nor an attempt be written down, so the backlog could not drain.
const roomShare = 0.8

// roomEvery is for how long one look at Redis' memory counts.
const roomEvery = time.Second

// room knows whether the Redis of an account has room for more.
type room struct {
	ledger *ledger.Ledger
	mu     sync.Mutex
	looks  map[string]look // by account
}

type look struct {
	at   time.Time // when Redis was last asked, or is being asked
	full bool
}

// Room says whether Enqueue has room for a voucher of an account now: nil, ErrNoRoom, ErrSpoolFull,
// or why nobody knows. Redis is asked at most once a second.
func (c *Client) Room(ctx context.Context, account string) error {
	if c.spool != nil && c.spool.pending() { // whatever comes goes there too
		if c.spool.full() {
			return ErrSpoolFull
		}
		return nil
	}
	return c.explain(c.room.check(ctx, account))
}

func (r *room) check(ctx context.Context, account string) error {
	r.mu.Lock()
	l := r.looks[account]
	stale := time.Since(l.at) >= roomEvery
	if stale {
		r.looks[account] = look{time.Now(), l.full} // one caller asks; the others do not wait for it
	}
	r.mu.Unlock()
	if stale {
		var err error
		if l.full, err = r.ask(ctx, account); err != nil {
			return err
		}
		r.mu.Lock()
		r.looks[account] = look{time.Now(), l.full}
		r.mu.Unlock()
	}
	if l.full {
		return ErrNoRoom
	}
	return nil
}

func (r *room) ask(ctx context.Context, account string) (full bool, err error) {
	info, err := r.ledger.Info(ctx, account, "memory")
	if _, said := errors.AsType[redis.Error](err); said {
		// An ACL may forbid the question, and a stand-in not know it. What stands in the way of
		// more than that, the next command meets too.
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for redis' memory: %w", err)
	}
	used, most := infoNumber(info, "used_memory"), infoNumber(info, "maxmemory")
	return most > 0 && float64(used) > roomShare*float64(most), nil
}

// infoNumber reads one number of Redis' INFO; 0 when it is missing.
func infoNumber(info, name string) int64 {
	for row := range strings.SplitSeq(info, "\n") {
		if v, ok := strings.CutPrefix(row, name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// UnreachableError says which Redis (Addr, without password) could not be reached, or does not
// serve for now.
type UnreachableError = redisconn.UnreachableError

// RefusedError says which Redis (Addr, without password) refuses to work until a person changes
// something: the password, a permission.
type RefusedError = redisconn.RefusedError

func isUnreachable(err error) bool {
	var u *UnreachableError
	return errors.As(err, &u)
}

// explain words a failure of Redis for people.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, ErrNotEnqueued): // whatever the cause is, it was the context's
		return err
	case redisconn.Full(err):
		return ErrNoRoom
	default:
		return redisconn.Explain(c.cfg.Redis, err)
	}
}
