package redisconn_test

import (
	"errors"
	"sync"
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

// TestNobodyStaysOnADemotedMaster has many connections, of both pools, to a master that is failed
// over: asked to, and frozen until another has its place. All of them end up with the new one.
func TestNobodyStaysOnADemotedMaster(t *testing.T) {
	t.Parallel()
	s := redistest.Sentinel(t, 1)
	rdb := connect(t, s.URL())
	for name, away := range map[string]func(*process.Redis) error{"asked": nil, "frozen": (*process.Redis).Pause} {
		var calls sync.WaitGroup
		for range 8 { // warms up connections
			calls.Go(func() {
				_ = rdb.Ping(t.Context()).Err()
				_, _ = rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error { return p.Ping(t.Context()).Err() })
			})
		}
		calls.Wait()
		was, err := s.Master(t.Context())
		if err == nil {
			err = s.FailOver(t.Context(), away)
		}
		if err == nil && away != nil {
			err = was.Resume()
		}
		if err != nil {
			t.Fatal(name, err)
		}
		redistest.Eventually(t, 2*time.Minute, name+": a write succeeds", func() bool { return rdb.Set(t.Context(), "k", name, 0).Err() == nil })
		redistest.Eventually(t, 2*time.Minute, name+": the old master follows", func() bool { return was.Role(t.Context()) == "slave" })
		for range 20 {
			calls.Go(func() {
				var role *redis.Cmd
				_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error { role = p.Do(t.Context(), "role"); return nil })
				plain, err2 := rdb.Do(t.Context(), "role").Slice()
				piped, err3 := role.Slice()
				if err = errors.Join(err, err2, err3); err != nil || plain[0] != "master" || piped[0] != "master" {
					t.Errorf("%s: %v, %v, %v", name, plain, piped, err)
				}
			})
		}
		calls.Wait()
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
