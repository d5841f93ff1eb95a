package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
)

// redis looks at Redis, of a cluster at each master; false ends the examination.
func (e *examination) redis(ctx context.Context) bool {
	c, cluster := e.Redis.(*redis.ClusterClient)
	if !cluster {
		n := node{Installation: e.Installation, rdb: e.Redis, replicated: redisconn.HasSentinels(e.Redis)}
		good := n.examine(ctx)
		e.findings = append(e.findings, n.findings...)
		return good
	}
	if !e.cluster(ctx, c) {
		return false
	}
	var mu sync.Mutex
	var nodes []*node
	err := c.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		n := &node{Installation: e.Installation, rdb: master, name: master.Options().Addr, replicated: true}
		n.examine(ctx)
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, n)
		return nil
	})
	if err != nil {
		e.add(Fail, "redis cluster", e.words(err), "see `redis-cli --cluster check ADDRESS`")
		return false
	}
	e.merge(nodes)
	return !slices.ContainsFunc(nodes, func(n *node) bool { return n.info == nil })
}

// cluster looks at a cluster as a whole.
func (e *examination) cluster(ctx context.Context, c *redis.ClusterClient) bool {
	said, err := c.ClusterInfo(ctx).Result()
	if err != nil {
		e.add(Fail, "redis cluster", e.words(err), "start it, and check VOUCHERD_REDIS_URL")
		return false
	}
	info := fields(said)
	found := fmt.Sprintf("state %s, %s of 16384 slots are served, %s masters, %s nodes",
		info["cluster_state"], info["cluster_slots_ok"], info["cluster_size"], info["cluster_known_nodes"])
	if info["cluster_state"] != "ok" {
		e.add(Fail, "redis cluster", found,
			"wait a few seconds if it was just created or fails over; else see `redis-cli --cluster check ADDRESS`. Until then nothing is accepted or sent")
		return false
	}
	e.add(OK, "redis cluster", found, "")
	return true
}

// merge takes over what was found at the nodes: once, when it is the same at all.
func (e *examination) merge(nodes []*node) {
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	for _, n := range nodes {
		for _, f := range n.findings {
			everywhere := !slices.ContainsFunc(nodes, func(n *node) bool { return !slices.Contains(n.findings, f) })
			if !everywhere {
				f.Found = n.name + ": " + f.Found
			}
			if !slices.Contains(e.findings, f) {
				e.findings = append(e.findings, f)
			}
		}
	}
}

// node is a Redis server that takes writes, and what was found there.
type node struct {
	Installation

	rdb        redis.UniversalClient
	name       string
	replicated bool // it is meant to fail over
	info       map[string]string
	findings   []Finding
}

func (n *node) add(g Grade, what, found, advice string) {
	if g == OK {
		advice = ""
	}
	n.findings = append(n.findings, Finding{Grade: g, What: what, Found: found, Advice: advice})
}

// examine looks at one server; false when it does not answer.
func (n *node) examine(ctx context.Context) bool {
	text, err := n.rdb.Info(ctx).Result()
	if err != nil {
		n.add(Fail, "redis", redisconn.Explain(n.rdb, err).Error(), "start it, and check VOUCHERD_REDIS_URL")
		return false
	}
	n.info = fields(text)
	version := n.info["redis_version"]
	g := OK
	if olderThan(version, 6, 2) {
		g = Fail
	}
	n.add(g, "redis version", version, "use Redis 6.2 or later")
	if role := n.info["role"]; role != "" && role != "master" {
		n.add(Fail, "redis role", role, "VOUCHERD_REDIS_URL must name the primary: a replica takes no writes")
	}
	n.persistence(ctx)
	n.replicas(ctx)
	n.memory()
	n.clock(ctx)
	return true
}

// fields reads what INFO and its like answer.
func fields(text string) map[string]string {
	all := map[string]string{}
	for row := range strings.SplitSeq(text, "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(row), ":"); ok {
			all[k] = v
		}
	}
	return all
}

func (n *node) persistence(ctx context.Context) {
	switch aof := n.info["aof_enabled"]; {
	case aof == "0":
		n.add(Fail, "redis persistence", "AOF is off",
			"set `appendonly yes` and `appendfsync always`, or a restart of Redis loses uploads that were accepted")
		return
	case n.info["aof_last_write_status"] == "err":
		n.add(Fail, "redis persistence", "the last write to the AOF failed", "look at the disk of Redis: it may be full")
		return
	}
	fsync, err := n.setting(ctx, "appendfsync")
	switch {
	case err != nil:
		n.add(Warn, "redis persistence", "AOF is on; its fsync cannot be asked for", "make sure that it is `appendfsync always`")
	case fsync == "always":
		n.add(OK, "redis persistence", "AOF, fsync always", "")
	default:
		n.add(Warn, "redis persistence", "AOF, fsync "+fsync,
			"a power cut may cost the last second of accepted uploads; `appendfsync always` costs none")
	}
}

// setting asks Redis for one of its settings; managed services may refuse to tell.
func (n *node) setting(ctx context.Context, name string) (string, error) {
	m, err := n.rdb.ConfigGet(ctx, name).Result()
	if err != nil {
		return "", err
	}
	return m[name], nil
}

// replicas counts those that follow, where there are any or must be.
func (n *node) replicas(ctx context.Context) {
	online := 0
	for k, v := range n.info {
		if strings.HasPrefix(k, "slave") && strings.Contains(v, "state=online") {
			online++
		}
	}
	found := fmt.Sprintf("%d follow, %d must have an upload", online, n.ReplicasAck)
	switch {
	case online < n.ReplicasAck:
		n.add(Fail, "redis replicas", found, "start more replicas, or lower VOUCHERD_REPLICAS_ACK: producers are refused")
	case n.replicated && online == 0:
		n.add(Warn, "redis replicas", found, "start a replica: nobody can take over from this server")
	case online > 0 && n.ReplicasAck == 0 && n.inRedis(ctx):
		n.add(Warn, "redis replicas", found,
			"set VOUCHERD_REPLICAS_ACK to the number of replicas, or use a file store: a failover may cost the last accepted uploads")
	case n.replicated || online > 0:
		n.add(OK, "redis replicas", found, "")
	}
}

// inRedis says whether vouchers lie in Redis, and are lost with it.
func (n *node) inRedis(ctx context.Context) bool {
	id, err := n.Store.Identity(ctx)
	return err == nil && id == "redis:"
}

// Like tasks.Client, which refuses vouchers above this share of maxmemory.
const fullShare = 80

func (n *node) memory() {
	if policy := n.info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		n.add(Fail, "redis eviction", policy, "set `maxmemory-policy noeviction`: Redis would throw away uploads when it is full")
	}
	used, most := number(n.info["used_memory"]), number(n.info["maxmemory"])
	switch {
	case most == 0:
		n.add(Warn, "redis memory", size(used)+" used, no maxmemory",
			"set `maxmemory` below what the machine has: then producers are refused in time, instead of Redis being killed")
	case used*100 > most*fullShare:
		n.add(Fail, "redis memory", fmt.Sprintf("%s of %s used (%d %%)", size(used), size(most), used*100/most),
			"producers are refused above 80 %: let the backlog drain, raise maxmemory, or use a file store")
	default:
		n.add(OK, "redis memory", fmt.Sprintf("%s of %s used (%d %%)", size(used), size(most), used*100/most), "")
	}
}

// asynq takes times from the worker's host, so a clock far off delays retries; PandaPon refuses 600
// s.
const clockOff = 30 * time.Second

func (n *node) clock(ctx context.Context) {
	before := time.Now()
	there, err := n.rdb.Time(ctx).Result()
	if err != nil {
		n.add(Fail, "clock", redisconn.Explain(n.rdb, err).Error(), "see redis")
		return
	}
	off := there.Sub(before.Add(time.Since(before) / 2)).Round(time.Millisecond)
	g := OK
	if off.Abs() > clockOff {
		g = Warn
	}
	n.add(g, "clock", fmt.Sprintf("redis is %v ahead of this host", off), "set both clocks by NTP")
}
