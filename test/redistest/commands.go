package redistest

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Commands gives how often each command ran on this Redis, those in scripts too, but not what
// clients say of themselves. The server should be the test's own.
func Commands(tb testing.TB, rdb *redis.Client) map[string]int64 {
	tb.Helper()
	info, err := rdb.Info(tb.Context(), "commandstats").Result()
	if err != nil {
		tb.Fatal(err)
	}
	n := map[string]int64{}
	for _, m := range regexp.MustCompile(`cmdstat_([^:]+):calls=(\d+)`).FindAllStringSubmatch(info, -1) {
		calls, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		if m[1] != "info" && m[1] != "hello" && m[1] != "client|setinfo" {
			n[m[1]] = calls
		}
	}
	return n
}
