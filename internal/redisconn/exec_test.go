package redisconn_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/test/redistest"
)

// TestNoConnectionIsAnErrorOfEachCommand has a pipeline meet a Redis that does not let it in.
func TestNoConnectionIsAnErrorOfEachCommand(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{Password: "right"})
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Password: "wrong"})
	t.Cleanup(func() { _ = rdb.Close() })
	redisconn.MergeCalls(rdb)
	pipe := rdb.Pipeline()
	first, second := pipe.Do(t.Context(), "get", "x"), pipe.Do(t.Context(), "get", "y")
	redisconn.ExecEach(t.Context(), pipe)
	merged := rdb.EvalSha(t.Context(), strings.Repeat("0", 40), nil)
	for _, cmd := range []*redis.Cmd{first, second, merged} {
		if cmd.Err() == nil || !strings.Contains(cmd.Err().Error(), "WRONGPASS") {
			t.Errorf("%v: %v", cmd.Args(), cmd.Err())
		}
	}
}
