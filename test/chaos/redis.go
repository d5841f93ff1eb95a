package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/process"
)

// redisServer is a real redis-server with an append-only file, and when it was away.
type redisServer struct {
	*process.Redis
	absences // when it was killed or paused

	dir string
}

// startRedis starts one in a new directory under dir.
func startRedis(ctx context.Context, dir string) (*redisServer, error) {
	own, err := os.MkdirTemp(dir, "redis-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for redis: %w", err)
	}
	s, err := process.StartRedis(ctx, process.RedisOptions{Dir: own, Args: []string{
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--loglevel", "notice",
		"--repl-diskless-sync-delay", "0",
	}})
	return &redisServer{Redis: s, dir: dir}, err
}

// restart kills the server, lets a while pass, and starts it again.
func (s *redisServer) restart(ctx context.Context, after time.Duration) error {
	return s.whileAway(0, func() error {
		s.Kill()
		if !process.Sleep(ctx, after) {
			return nil
		}
		return s.Start(ctx)
	})
}

// pause stops the server for a while without closing its connections.
func (s *redisServer) pause(ctx context.Context, d time.Duration) error {
	return s.whileAway(0, func() error { return pause(ctx, s.Process, d) })
}

func pause(ctx context.Context, p *process.Process, d time.Duration) error {
	if err := p.Pause(); err != nil {
		return err
	}
	process.Sleep(ctx, d)
	return p.Resume()
}

// failOver lets a replica take the server's place that lacks the writes of the last while.
// Replication is asynchronous: a master tells its clients that a write is done before any replica
// has it.
func (s *redisServer) failOver(ctx context.Context, lacking time.Duration) (l audit.Loss, err error) {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return l, fmt.Errorf("address of redis: %w", err)
	}
	replica, err := startRedis(ctx, s.dir)
	if err != nil {
		return l, err
	}
	rdb := replica.Client()
	defer rdb.Close() //nolint:errcheck // nothing is left to lose
	if err = rdb.ReplicaOf(ctx, host, port).Err(); err == nil {
		err = process.Until(ctx, 20*time.Second, "a replica follows", func() bool {
			return strings.Contains(rdb.Info(ctx, "replication").Val(), "master_link_status:up\r\n")
		})
	}
	l.From = time.Now()
	if err == nil {
		err = s.replicated(ctx)
	}
	if err == nil {
		err = rdb.ReplicaOf(ctx, "NO", "ONE").Err()
	}
	if err != nil {
		replica.Kill()
		return l, fmt.Errorf("let a replica follow: %w", err)
	}
	process.Sleep(ctx, lacking)
	err = s.whileAway(0, func() error {
		s.Kill()
		l.Gone = time.Now()
		replica.Addr = s.Addr
		s.Redis = replica.Redis
		return rdb.ConfigSet(ctx, "port", port).Err() // it takes the port as it would a floating address
	})
	if err != nil {
		return l, fmt.Errorf("give the replica its master's port, which needs Redis 6.2: %w", err)
	}
	return l, nil
}

// replicated returns once a replica has all that was written before.
func (s *redisServer) replicated(ctx context.Context) error {
	rdb := s.Client()
	defer rdb.Close() //nolint:errcheck // nothing is left to lose
	var have *redis.Cmd
	_, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "chaos:replicated", "", time.Minute) // WAIT counts from its connection's last write
		have = pipe.Do(ctx, "wait", 1, time.Minute.Milliseconds())
		return nil
	})
	if n, _ := have.Int(); err == nil && n == 0 {
		err = errors.New("no replica followed in a minute")
	}
	return err
}
