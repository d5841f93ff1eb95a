package process

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Migration is a slot on its way from one master to another.
type Migration struct {
	cluster  *Cluster
	from, to *Redis
	toID     string
	slot     int
}

// Migrate begins to move the slot of a key to another master. From here on its old owner sends
// clients that ask for what it has no more to the new one (ASK).
func (c *Cluster) Migrate(ctx context.Context, key string) (*Migration, error) {
	from, _, slot, err := c.MasterOf(ctx, key)
	if err != nil {
		return nil, err
	}
	m := &Migration{cluster: c, from: from, slot: slot}
	for _, n := range c.Nodes {
		if n != from && n.Role(ctx) == "master" {
			m.to = n
		}
	}
	if m.to == nil {
		return nil, fmt.Errorf("a master to migrate to: %w", errNoNode)
	}
	source, target := from.Client(), m.to.Client()
	defer source.Close() //nolint:errcheck // nothing is left to lose
	defer target.Close() //nolint:errcheck // likewise
	fromID, err := source.ClusterMyID(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ask a node for its id: %w", err)
	}
	if m.toID, err = target.ClusterMyID(ctx).Result(); err != nil {
		return nil, fmt.Errorf("ask a node for its id: %w", err)
	}
	return m, errors.Join(
		target.Do(ctx, "cluster", "setslot", slot, "importing", fromID).Err(),
		source.Do(ctx, "cluster", "setslot", slot, "migrating", m.toID).Err(),
	)
}

// Move moves at most so many keys, and says how many it found.
func (m *Migration) Move(ctx context.Context, most int) (int, error) {
	source := m.from.Client()
	defer source.Close() //nolint:errcheck // nothing is left to lose
	keys, err := source.ClusterGetKeysInSlot(ctx, m.slot, most).Result()
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	host, port, err := net.SplitHostPort(m.to.Addr)
	if err != nil {
		return 0, fmt.Errorf("address of redis: %w", err)
	}
	const limit = 10_000 // milliseconds
	args := []any{"migrate", host, port, "", 0, limit, "keys"}
	for _, k := range keys {
		args = append(args, k)
	}
	if err = source.Do(ctx, args...).Err(); err != nil {
		return 0, fmt.Errorf("migrate %d keys: %w", len(keys), err)
	}
	return len(keys), nil
}

// Finish moves what is left, a few keys at a time, and gives the slot to its new owner (MOVED).
func (m *Migration) Finish(ctx context.Context) (moved int, err error) {
	const most = 20
	for n := 1; n > 0; moved += n {
		if n, err = m.Move(ctx, most); err != nil {
			return moved, err
		}
	}
	nodes := []*Redis{m.to, m.from} // its new owner first
	for _, n := range m.cluster.Nodes {
		if n != m.to && n != m.from && n.Role(ctx) == "master" {
			nodes = append(nodes, n)
		}
	}
	for _, n := range nodes {
		rdb := n.Client()
		err = errors.Join(err, rdb.Do(ctx, "cluster", "setslot", m.slot, "node", m.toID).Err(), rdb.Close())
	}
	return moved, err
}
