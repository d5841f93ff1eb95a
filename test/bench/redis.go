package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/test/process"
)

// server is a redis-server of this benchmark.
type server struct {
	proc *process.Redis
	url  string
	dir  string
	rdb  *redis.Client
}

// startRedis starts one as operators run it, but for rewriting the append-only file, which would
// fall into some measurements only.
func startRedis(ctx context.Context, dir, name string) (*server, error) {
	own := filepath.Join(dir, name)
	if err := os.MkdirAll(own, 0o700); err != nil { //nolint:gosec // in our own directory
		return nil, fmt.Errorf("make a directory for redis: %w", err)
	}
	p, err := process.StartRedis(ctx, process.RedisOptions{Dir: own, Args: []string{
		"--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction",
	}})
	if err != nil {
		return nil, err
	}
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr, ReadTimeout: time.Minute})
	return &server{proc: p, url: p.URL(), dir: own, rdb: rdb}, nil
}

func (s *server) close() error {
	err := s.rdb.Close()
	s.proc.Kill()
	return errors.Join(err, os.RemoveAll(s.dir)) //nolint:gosec // our own directory
}

// clear empties the server, and its append-only file when it has grown.
func (s *server) clear(ctx context.Context) error {
	if err := s.rdb.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty redis: %w", err)
	}
	info, err := s.info(ctx)
	if err != nil || info["aof_current_size"] < 1<<30 {
		return err
	}
	if err := s.rdb.BgRewriteAOF(ctx).Err(); err != nil {
		return fmt.Errorf("shorten redis' append-only file: %w", err)
	}
	return s.until(ctx, time.Hour, "aof_rewrite_in_progress", "aof_rewrite_scheduled")
}

// freed waits until Redis has given back the memory of what was deleted, which it does behind the
// back of its clients.
func (s *server) freed(ctx context.Context) error {
	return s.until(ctx, settleLimit, "lazyfree_pending_objects")
}

// until waits until these numbers of INFO are 0, or the limit is over.
func (s *server) until(ctx context.Context, limit time.Duration, names ...string) error {
	for began := time.Now(); time.Since(began) < limit; {
		info, err := s.info(ctx)
		sum := 0.0
		for _, n := range names {
			sum += info[n]
		}
		if err != nil || sum == 0 {
			return err
		}
		if err := sleep(ctx, settleEvery); err != nil {
			return err
		}
	}
	return nil
}

// counters are the numbers of Redis' INFO. Of each command they hold its calls and its
// microseconds; those of a script count beside the script, and within its time.
type counters map[string]float64

const (
	callsOf  = "calls of "
	microsOf = "microseconds of "
)

func (s *server) info(ctx context.Context) (counters, error) {
	text, err := s.rdb.Info(ctx, "all").Result()
	if err != nil {
		return nil, fmt.Errorf("ask redis for its statistics: %w", err)
	}
	out := counters{}
	for row := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(row), ":")
		if command, ok := strings.CutPrefix(name, "cmdstat_"); ok {
			var calls, micros float64
			if _, err := fmt.Sscanf(value, "calls=%f,usec=%f", &calls, &micros); err != nil {
				return nil, fmt.Errorf("read what redis says of %s: %w", command, err)
			}
			out[callsOf+command], out[microsOf+command] = calls, micros
		} else if n, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = n
		}
	}
	return out, nil
}

func (c counters) minus(d counters) counters {
	out := counters{}
	for name, n := range c {
		out[name] = n - d[name]
	}
	return out
}

// cpu gives seconds.
func (c counters) cpu() float64 { return c["used_cpu_sys"] + c["used_cpu_user"] }

// memory gives the bytes of the data: without the buffers of clients and of the append-only file.
func (c counters) memory() float64 {
	return c["used_memory"] - c["mem_clients_normal"] - c["mem_aof_buffer"]
}

// commandCost is what one of Redis' commands cost.
type commandCost struct {
	Calls float64 `json:"calls"`
	Micro float64 `json:"microseconds"`
}

// commands gives how many commands each of n uploads took, those within scripts included, and what
// each command cost; what hardly happened is left out.
func (c counters) commands(n float64) (all float64, by map[string]commandCost) {
	const seldom = 0.005 // calls for an upload
	by = map[string]commandCost{}
	for name, calls := range c {
		command, ok := strings.CutPrefix(name, callsOf)
		if !ok {
			continue
		}
		all += calls / n
		if calls/n >= seldom {
			by[command] = commandCost{Calls: calls / n, Micro: c[microsOf+command] / n}
		}
	}
	return all, by
}
