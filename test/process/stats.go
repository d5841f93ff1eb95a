package process

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Stats are the numbers of a Redis server's INFO by their names there. Of each command they hold
// its calls, by CallsOf and its name; those within scripts count too.
type Stats map[string]float64

// CallsOf begins the name of a command's calls.
const CallsOf = "calls of "

// ReadStats asks a server for its numbers.
func ReadStats(ctx context.Context, rdb redis.UniversalClient) (Stats, error) {
	text, err := rdb.Info(ctx, "all").Result()
	if err != nil {
		return nil, fmt.Errorf("ask redis for its statistics: %w", err)
	}
	out := Stats{}
	for row := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(row), ":")
		if command, ok := strings.CutPrefix(name, "cmdstat_"); ok {
			name = CallsOf + command
			value, _, _ = strings.Cut(strings.TrimPrefix(value, "calls="), ",")
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = n
		}
	}
	return out, nil
}

// Minus gives how much the numbers have grown.
func (s Stats) Minus(before Stats) Stats {
	out := Stats{}
	for name, n := range s {
		out[name] = n - before[name]
	}
	return out
}

// Commands is how many commands the server has carried out, those within scripts included, and
// those that ask for statistics not.
func (s Stats) Commands() (n float64) {
	for name, calls := range s {
		if strings.HasPrefix(name, CallsOf) && name != CallsOf+"info" {
			n += calls
		}
	}
	return n
}

// CPU gives seconds.
func (s Stats) CPU() float64 { return s["used_cpu_sys"] + s["used_cpu_user"] }

// Memory gives the bytes of the data: without the buffers of clients and of the append-only file.
func (s Stats) Memory() float64 {
	return s["used_memory"] - s["mem_clients_normal"] - s["mem_aof_buffer"]
}
