package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// usage is what a child has used so far.
type usage struct {
	CPU      time.Duration
	Resident int64 // bytes now
	Peak     int64 // most bytes at a time; 0 where the system does not tell
	Trips    int64 // to Redis and back
	Commands int64 // sent to Redis
}

func (u usage) minus(v usage) usage {
	u.CPU -= v.CPU
	u.Trips -= v.Trips
	u.Commands -= v.Commands
	return u
}

func (u usage) plus(v usage) usage {
	return usage{
		CPU: u.CPU + v.CPU, Resident: u.Resident + v.Resident, Peak: max(u.Peak, v.Peak),
		Trips: u.Trips + v.Trips, Commands: u.Commands + v.Commands,
	}
}

// used tells what this process has used.
func used(t *trips) (usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("ask for the CPU time: %w", err)
	}
	u := usage{CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano())}
	if t != nil {
		u.Trips, u.Commands = t.trips.Load(), t.commands.Load()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return u, nil //nolint:nilerr // only Linux has it
	}
	for row := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(row, ":")
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "VmHWM":
			u.Peak = n << 10
		case name == "VmRSS":
			u.Resident = n << 10
		}
	}
	return u, nil
}

// trips counts what a Redis client sends, as a go-redis hook.
type trips struct{ trips, commands atomic.Int64 }

// DialHook implements redis.Hook.
func (*trips) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (t *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.trips.Add(1)
		t.commands.Add(1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (t *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		t.trips.Add(1)
		t.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
