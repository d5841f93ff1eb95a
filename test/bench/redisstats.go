package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// redisStats is what a Redis server has done so far, and what it holds.
type redisStats struct {
	CPU      float64 // seconds
	Commands float64 // those within scripts included
	In, Out  float64 // bytes over the network
	Memory   float64 // of the data: without the buffers of clients and of the append-only file
	By       map[string]commandCost
}

// commandCost is what one of Redis' commands cost. Those of a script count beside the script, and within its time.
type commandCost struct {
	Calls float64 `json:"calls"`
	Micro float64 `json:"microseconds"`
}

// per gives the cost of commands for each of n uploads; what hardly happened is left out.
func (a redisStats) per(n float64) map[string]commandCost {
	const seldom = 0.005 // calls for an upload
	out := map[string]commandCost{}
	for name, c := range a.By {
		if c.Calls/n >= seldom {
			out[name] = commandCost{Calls: c.Calls / n, Micro: c.Micro / n}
		}
	}
	return out
}

func (a redisStats) minus(b redisStats) redisStats {
	by := map[string]commandCost{}
	for name, c := range a.By {
		by[name] = commandCost{Calls: c.Calls - b.By[name].Calls, Micro: c.Micro - b.By[name].Micro}
	}
	return redisStats{
		CPU: a.CPU - b.CPU, Commands: a.Commands - b.Commands, In: a.In - b.In, Out: a.Out - b.Out, Memory: a.Memory - b.Memory, By: by,
	}
}

func (s *server) stats(ctx context.Context) (redisStats, error) {
	i, err := s.info(ctx)
	all := redisStats{
		CPU: i["used_cpu_sys"] + i["used_cpu_user"], In: i["total_net_input_bytes"], Out: i["total_net_output_bytes"],
		Memory: i["used_memory"] - i["mem_clients_normal"] - i["mem_aof_buffer"], By: map[string]commandCost{},
	}
	for name, n := range i {
		command, ok := strings.CutPrefix(name, callsOf)
		if !ok {
			continue
		}
		all.By[command] = commandCost{Calls: n, Micro: i[microsOf+command]}
		all.Commands += n
	}
	return all, err
}

// What the rows of INFO commandstats are split into.
const (
	callsOf  = "calls of "
	microsOf = "microseconds of "
)

// info gives every number of Redis' INFO.
func (s *server) info(ctx context.Context) (map[string]float64, error) {
	text, err := s.rdb.Info(ctx, "all").Result()
	if err != nil {
		return nil, fmt.Errorf("ask redis for its statistics: %w", err)
	}
	out := map[string]float64{}
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
