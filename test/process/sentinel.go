package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// sentinelName is what the sentinels call the master.
const sentinelName = "vouchers"

// failoverTimeout is how long sentinels take at most for each step of a failover.
const failoverTimeout = 5 * time.Second

var errDisagree = errors.New("the sentinels do not agree on the master")

// Sentinel is a master with replicas that three sentinels watch.
type Sentinel struct {
	Nodes    []*Redis // whichever is the master
	watchers []*Redis
}

// StartSentinel starts a master and replicas with these options, and sentinels that put a replica
// in its place when it is silent for a second. It returns once all know each other.
func StartSentinel(ctx context.Context, o RedisOptions, replicas int) (_ *Sentinel, err error) {
	const watchers, quorum = 3, 2
	s := &Sentinel{}
	defer func() {
		if err != nil {
			s.Kill()
		}
	}()
	if s.Nodes, err = startNodes(ctx, o, 1+replicas); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.Nodes[0].Addr)
	if err != nil {
		return nil, fmt.Errorf("address of redis: %w", err)
	}
	for _, n := range s.Nodes[1:] {
		if err = follows(ctx, n, host, port); err != nil {
			return nil, err
		}
	}
	config := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s %[4]d\nsentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s %[5]d\n",
		sentinelName, host, port, quorum, failoverTimeout.Milliseconds())
	watching := RedisOptions{Dir: o.Dir, Config: config, Args: []string{"--sentinel"}}
	if s.watchers, err = startNodes(ctx, watching, watchers); err != nil {
		return nil, err
	}
	for _, w := range s.watchers {
		if err = knowsAll(ctx, w, replicas, watchers-1); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// follows makes a server a replica, and waits until it has all that its master has.
func follows(ctx context.Context, n *Redis, host, port string) error {
	rdb := n.Client()
	defer rdb.Close() //nolint:errcheck // nothing is left to lose
	if err := rdb.ReplicaOf(ctx, host, port).Err(); err != nil {
		return fmt.Errorf("let a replica follow: %w", err)
	}
	return Until(ctx, startLimit, "a replica follows", func() bool {
		return strings.Contains(rdb.Info(ctx, "replication").Val(), "master_link_status:up\r\n")
	})
}

// knowsAll waits until a sentinel knows the replicas and the other sentinels.
func knowsAll(ctx context.Context, w *Redis, replicas, others int) error {
	c := redis.NewSentinelClient(&redis.Options{Addr: w.Addr})
	defer c.Close() //nolint:errcheck // nothing is left to lose
	// Sentinels of Redis 7 may be told to ask more often than every ten seconds.
	_ = c.Process(ctx, redis.NewCmd(ctx, "sentinel", "debug", "info-period", "500", "publish-period", "200", "ask-period", "200", "ping-period", "200"))
	return Until(ctx, 2*startLimit, "a sentinel knows all", func() bool {
		m := c.Master(ctx, sentinelName).Val()
		return m["num-slaves"] == strconv.Itoa(replicas) && m["num-other-sentinels"] == strconv.Itoa(others)
	})
}

// URL is what a client is told: the sentinels and the master's name.
func (s *Sentinel) URL() string {
	u := url.URL{Scheme: "redis", Host: s.watchers[0].Addr, Path: "/0"}
	q := url.Values{"master_name": {sentinelName}}
	for _, w := range s.watchers[1:] {
		q.Add("addr", w.Addr)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Master waits until all sentinels take the same server for the master: on a busy machine they may
// fail over by themselves.
func (s *Sentinel) Master(ctx context.Context) (master *Redis, err error) {
	waited := Until(ctx, 3*startLimit, "the sentinels agree", func() bool {
		master, err = s.agreed(ctx)
		return err == nil
	})
	return master, errors.Join(waited, err)
}

// agreed gives the server that all sentinels take for the master.
func (s *Sentinel) agreed(ctx context.Context) (master *Redis, err error) {
	for _, w := range s.watchers {
		is, err := s.masterOf(ctx, w)
		if err != nil || master != nil && master != is {
			return nil, errors.Join(err, errDisagree)
		}
		master = is
	}
	return master, nil
}

func (s *Sentinel) masterOf(ctx context.Context, watcher *Redis) (*Redis, error) {
	c := redis.NewSentinelClient(&redis.Options{Addr: watcher.Addr})
	defer c.Close() //nolint:errcheck // nothing is left to lose
	is, err := c.Master(ctx, sentinelName).Result()
	if err != nil {
		return nil, fmt.Errorf("ask a sentinel for the master: %w", err)
	}
	if strings.Contains(is["flags"], "failover_in_progress") { // should the new master die now, this sentinel would wait for it for ever
		return nil, errDisagree
	}
	at := net.JoinHostPort(is["ip"], is["port"])
	for _, n := range s.Nodes {
		if n.Addr == at {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the sentinels speak of a stranger, %s", at)
}

// FailOver lets another server become the master: away takes the one there is away, nil asks the
// sentinels. It returns once the sentinels agree.
func (s *Sentinel) FailOver(ctx context.Context, away func(master *Redis) error) error {
	was, err := s.Master(ctx)
	if err != nil {
		return err
	}
	ask := func() {}
	if away == nil {
		c := redis.NewSentinelClient(&redis.Options{Addr: s.watchers[0].Addr})
		defer c.Close() //nolint:errcheck // nothing is left to lose
		var asked time.Time
		ask = func() { // it refuses while a replica is not ready; asked again too early it would fail back
			if time.Since(asked) > 3*failoverTimeout && c.Failover(ctx, sentinelName).Err() == nil {
				asked = time.Now()
			}
		}
	} else if err = away(was); err != nil {
		return err
	}
	return Until(ctx, 3*startLimit, "another master is there", func() bool {
		ask()
		now, err := s.agreed(ctx)
		return err == nil && now != was
	})
}

// Kill ends all with SIGKILL.
func (s *Sentinel) Kill() {
	for _, n := range append(s.watchers, s.Nodes...) {
		n.Kill()
	}
}

// startNodes starts servers with the same options, each with a directory of its own.
func startNodes(ctx context.Context, o RedisOptions, n int) (all []*Redis, err error) {
	for range n {
		own := o
		if own.Dir, err = newDir(o.Dir); err != nil {
			return all, err
		}
		node, err := StartRedis(ctx, own)
		if err != nil {
			return all, err
		}
		all = append(all, node)
	}
	return all, nil
}

// Role says what a server takes itself for: master, slave, or sentinel; "" when it does not answer.
func (r *Redis) Role(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c := r.Client()
	defer c.Close() //nolint:errcheck // nothing is left to lose
	v, err := c.Do(ctx, "role").Slice()
	if err != nil || len(v) == 0 {
		return ""
	}
	role, _ := v[0].(string)
	return role
}
