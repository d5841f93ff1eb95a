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
)

// ErrNoRoom means that Redis is so full that a further voucher could stop the backlog from
// draining.
var ErrNoRoom = errors.New("redis has no room: over 80 % of its maxmemory is used. Let the backlog drain, raise maxmemory, or use a file store")

// roomShare is the share of maxmemory above which nothing is accepted. At maxmemory itself neither
// a task can be fetched nor an attempt be written down, so the backlog could not drain.
const roomShare = 0.8

// roomEvery is for how long one look at Redis' memory counts.
const roomEvery = time.Second

// room knows whether Redis has room for more.
type room struct {
	rdb  redis.UniversalClient
	mu   sync.Mutex
	read time.Time // when Redis was last asked, or is being asked
	full bool
}

func (r *room) check(ctx context.Context) error {
	r.mu.Lock()
	stale := time.Since(r.read) >= roomEvery
	if stale {
		r.read = time.Now() // one caller asks; the others do not wait for it
	}
	full := r.full
	r.mu.Unlock()
	if stale {
		var err error
		if full, err = r.ask(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		r.full = full
		r.mu.Unlock()
	}
	if full {
		return ErrNoRoom
	}
	return nil
}

func (r *room) ask(ctx context.Context) (full bool, err error) {
	info, err := r.rdb.Info(ctx, "memory").Result()
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
