package redisconn_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

// connect opens a URL for a test.
func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisconn.Open(url, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// eventually waits until something succeeds.
func eventually(t *testing.T, within time.Duration, do func() error) {
	t.Helper()
	var last error
	if err := process.Until(t.Context(), within, "it succeeds", func() bool { last = do(); return last == nil }); err != nil {
		t.Fatal(err, last)
	}
}

// TestScriptsOfASlotThatMoves calls a script, alone and with others, that touches keys that it does
// not name, while its slot is on its way to another node: it either sees all or does nothing.
func TestScriptsOfASlotThatMoves(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	rdb := connect(t, c.URL())
	const prefix = "voucherd:{vouchers-a}:"
	script := redis.NewScript(`
local had = redis.call('MGET', KEYS[1] .. 'one', KEYS[1] .. 'two')
if not had[1] or had[1] ~= had[2] then return redis.error_reply('TORN ' .. tostring(had[1]) .. ' ' .. tostring(had[2])) end
redis.call('INCR', KEYS[1] .. 'one')
return redis.call('INCR', KEYS[1] .. 'two')`)
	if err := rdb.MSet(t.Context(), prefix+"one", 1, prefix+"two", 1).Err(); err != nil {
		t.Fatal(err)
	}
	calls := func(stage string, want bool) (done int) {
		for range 5 {
			err := script.Run(t.Context(), rdb, []string{prefix}, "x").Err()
			_, unreachable := errors.AsType[*redisconn.UnreachableError](redisconn.Explain(rdb, err))
			switch {
			case err == nil:
				done++
			case want || !unreachable:
				t.Errorf("%s: %v", stage, err)
			}
		}
		return done
	}
	done := calls("before", true)
	m, err := c.Migrate(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	done += calls("none has moved", false)
	if _, err = m.Move(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	done += calls("one has moved", false)
	if _, err = m.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	done += calls("all has moved", true)
	if got, err := rdb.MGet(t.Context(), prefix+"one", prefix+"two").Result(); err != nil || got[0] != got[1] {
		t.Errorf("%v after %d calls, %v", got, done, err)
	}
}
