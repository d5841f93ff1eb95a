package main

import (
	"context"
	"fmt"

	"github.com/voucherd/voucherd/test/process"
)

// The ways in which another server takes a master's place.
const (
	sentinelAsked = "Sentinel, asked for a failover"
	sentinelKill  = "Sentinel, master killed (-9)"
	sentinelCut   = "Sentinel, master cut off, then killed"
	clusterKill   = "Cluster, master killed (-9)"
	clusterMove   = "Cluster, the account's slot moved"
)

// servers are Redis servers of which one can take another's place.
type servers interface {
	URL() string
	Kill()
	// failOver has another server take the master's place, and brings back the one that went.
	failOver(ctx context.Context, how string) error
}

// startServers starts what a way of failing over needs, with an append-only file that is synced as
// told.
func startServers(ctx context.Context, dir, how, fsync string) (servers, error) {
	const masters, replicas = 3, 2
	o := process.RedisOptions{Dir: dir, Args: []string{
		"--appendonly", "yes", "--appendfsync", fsync, "--maxmemory", "200mb", "--maxmemory-policy", "noeviction",
	}}
	if how == clusterKill || how == clusterMove {
		c, err := process.StartCluster(ctx, o, masters)
		return cluster{c}, err
	}
	s, err := process.StartSentinel(ctx, o, replicas)
	return sentinel{s}, err
}

// replicasOf says how many replicas a master has. A cluster's may have none after a failover, until
// the one that went is back.
func replicasOf(s servers) int {
	if _, ok := s.(cluster); ok {
		return 1
	}
	return 2
}

type sentinel struct{ *process.Sentinel }

func (s sentinel) failOver(ctx context.Context, how string) error {
	if how == sentinelAsked {
		return s.FailOver(ctx, nil)
	}
	var was *process.Redis
	err := s.FailOver(ctx, func(m *process.Redis) error {
		was = m
		if how == sentinelCut {
			if err := s.cut(ctx, m); err != nil {
				return err
			}
		}
		m.Kill()
		return nil
	})
	if err != nil {
		return err
	}
	return was.Start(ctx) // the sentinels make it a replica
}

// cut keeps the master's writes from its replicas for a while, as a partition does with the
// producers and workers on the master's side.
func (s sentinel) cut(ctx context.Context, master *process.Redis) error {
	for _, n := range s.Nodes {
		if n == master {
			continue
		}
		rdb := n.Client()
		err := rdb.ReplicaOf(ctx, "127.0.0.1", "1").Err() // where nobody is
		_ = rdb.Close()
		if err != nil {
			return fmt.Errorf("cut a replica off: %w", err)
		}
	}
	process.Sleep(ctx, cutFor)
	return nil
}

type cluster struct{ *process.Cluster }

func (c cluster) failOver(ctx context.Context, how string) error {
	const slot = "voucherd:{vouchers-default}:"
	if how == clusterKill {
		was, err := c.FailOver(ctx, slot)
		if err != nil {
			return err
		}
		return was.Start(ctx) // as a replica
	}
	m, err := c.Migrate(ctx, slot)
	if err != nil {
		return err
	}
	if _, err = m.Finish(ctx); err != nil {
		return fmt.Errorf("move the account's slot: %w", err)
	}
	return nil
}
