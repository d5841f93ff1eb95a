package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

const slots = 16384 // of every cluster

var errNoNode = errors.New("no node of the cluster has it")

// Cluster is a Redis Cluster on the loopback interface.
type Cluster struct{ Nodes []*Redis }

// StartCluster starts a cluster of masters with one replica each. It returns once all slots are
// served and all replicas follow.
func StartCluster(ctx context.Context, o RedisOptions, masters int) (_ *Cluster, err error) {
	c := &Cluster{}
	defer func() {
		if err != nil {
			c.Kill()
		}
	}()
	o.Args = append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"}, o.Args...)
	if c.Nodes, err = startNodes(ctx, o, 2*masters); err != nil {
		return nil, err
	}
	for i, n := range c.Nodes {
		if err = c.join(ctx, n, i, masters); err != nil {
			return nil, err
		}
	}
	err = c.settled(ctx, func(_, nodes string) bool { return strings.Count(nodes, " connected") == 2*masters })
	if err != nil {
		return nil, err
	}
	for i, n := range c.Nodes[masters:] {
		if err = c.replicate(ctx, n, c.Nodes[i]); err != nil {
			return nil, err
		}
	}
	return c, c.settled(ctx, func(info, nodes string) bool {
		return strings.Contains(info, "cluster_state:ok\r\n") && strings.Count(nodes, "slave ") == masters
	})
}

// join lets a node meet the first one, and gives it its slots if it is to be a master.
func (c *Cluster) join(ctx context.Context, n *Redis, place, masters int) error {
	rdb := n.Client()
	defer rdb.Close() //nolint:errcheck // nothing is left to lose
	host, port, err := net.SplitHostPort(c.Nodes[0].Addr)
	if err != nil {
		return fmt.Errorf("address of redis: %w", err)
	}
	if err = rdb.Do(ctx, "cluster", "set-config-epoch", place+1).Err(); err != nil {
		return fmt.Errorf("number a node: %w", err)
	}
	if place < masters {
		if err = rdb.ClusterAddSlotsRange(ctx, place*slots/masters, (place+1)*slots/masters-1).Err(); err != nil {
			return fmt.Errorf("give a node its slots: %w", err)
		}
	}
	if place > 0 {
		if err = rdb.ClusterMeet(ctx, host, port).Err(); err != nil {
			return fmt.Errorf("let a node join: %w", err)
		}
	}
	return nil
}

// settled waits until all nodes say something of the cluster: of its state, or of its nodes.
func (c *Cluster) settled(ctx context.Context, says func(info, nodes string) bool) error {
	for _, n := range c.Nodes {
		rdb := n.Client()
		err := Until(ctx, 2*startLimit, "the nodes of a cluster know each other", func() bool {
			return says(rdb.ClusterInfo(ctx).Val(), rdb.ClusterNodes(ctx).Val())
		})
		_ = rdb.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) replicate(ctx context.Context, replica, master *Redis) error {
	rdb, of := replica.Client(), master.Client()
	defer rdb.Close() //nolint:errcheck // nothing is left to lose
	defer of.Close()  //nolint:errcheck // likewise
	id, err := of.ClusterMyID(ctx).Result()
	if err == nil {
		err = rdb.ClusterReplicate(ctx, id).Err()
	}
	if err != nil {
		return fmt.Errorf("make a node a replica: %w", err)
	}
	return Until(ctx, 2*startLimit, "a replica follows", func() bool {
		return strings.Contains(rdb.Info(ctx, "replication").Val(), "master_link_status:up\r\n")
	})
}

// URL is what a client is told: all nodes.
func (c *Cluster) URL() string {
	q := url.Values{}
	for _, n := range c.Nodes[1:] {
		q.Add("addr", n.Addr)
	}
	return (&url.URL{Scheme: "redis", Host: c.Nodes[0].Addr, RawQuery: q.Encode()}).String()
}

// Client makes a client of the cluster.
func (c *Cluster) Client() *redis.ClusterClient {
	var addrs []string
	for _, n := range c.Nodes {
		addrs = append(addrs, n.Addr)
	}
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
}

// MasterOf gives the node that has the slot of a key, and the one that follows it.
func (c *Cluster) MasterOf(ctx context.Context, key string) (master, replica *Redis, slot int, err error) {
	for _, n := range c.Nodes {
		if n.Role(ctx) == "" { // it does not run
			continue
		}
		rdb := n.Client()
		s, err := rdb.ClusterKeySlot(ctx, key).Result()
		all, err2 := rdb.ClusterSlots(ctx).Result() //nolint:staticcheck // Redis 6.2 has no CLUSTER SHARDS
		_ = rdb.Close()
		if err != nil || err2 != nil {
			continue
		}
		for _, r := range all {
			if int(s) >= r.Start && int(s) <= r.End {
				master = c.at(r.Nodes[0].Addr)
				if len(r.Nodes) > 1 {
					replica = c.at(r.Nodes[1].Addr)
				}
				if master != nil && master.Role(ctx) == "master" {
					return master, replica, int(s), nil
				}
			}
		}
	}
	return nil, nil, 0, fmt.Errorf("slot of %s: %w", key, errNoNode)
}

func (c *Cluster) at(addr string) *Redis {
	i := slices.IndexFunc(c.Nodes, func(n *Redis) bool { return n.Addr == addr })
	if i < 0 {
		return nil
	}
	return c.Nodes[i]
}

// FailOver kills the master of a key, and returns once another has taken over.
func (c *Cluster) FailOver(ctx context.Context, key string) (was *Redis, err error) {
	was, _, _, err = c.MasterOf(ctx, key)
	if err != nil {
		return nil, err
	}
	was.Kill()
	return was, Until(ctx, 3*startLimit, "another master is there", func() bool {
		now, _, _, err := c.MasterOf(ctx, key)
		return err == nil && now != was
	})
}

// Kill ends all with SIGKILL.
func (c *Cluster) Kill() {
	for _, n := range c.Nodes {
		n.Kill()
	}
}

// newDir makes a directory in dir.
func newDir(dir string) (string, error) {
	own, err := os.MkdirTemp(dir, "redis-")
	if err != nil {
		return "", fmt.Errorf("make a directory for redis: %w", err)
	}
	return own, nil
}
