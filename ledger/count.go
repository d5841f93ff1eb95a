package ledger

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Count counts the uploads that a query lists, whatever their state, by state. Its cost does not
// grow with their number. Limit, Cursor and Code do not count: to know an answer's code, it would
// have to read each upload.
func (l *Ledger) Count(ctx context.Context, q Query) (map[State]int64, error) {
	from, err := l.start(ctx, Query{Since: q.Since})
	if err != nil {
		return nil, err
	}
	accounts, err := l.accountsOf(ctx, q)
	if err != nil {
		return nil, err
	}
	counts := map[State]int64{}
	if q.OrderID != "" || q.Search != "" {
		return counts, l.countNamed(ctx, accounts, q, from, counts)
	}
	pipe := l.rdb.Pipeline()
	sizes := map[State][]*redis.IntCmd{}
	for _, account := range accounts {
		for _, s := range States() {
			for _, index := range indexes([]State{s}) {
				sizes[s] = append(sizes[s], pipe.ZCount(ctx, prefix(account)+index, strconv.FormatInt(from.since, 10), "+inf"))
			}
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("count uploads: %w", err)
	}
	for s, ns := range sizes {
		for _, n := range ns {
			counts[s] += n.Val()
		}
	}
	return counts, nil
}

func (l *Ledger) countNamed(ctx context.Context, accounts []string, q Query, from place, counts map[State]int64) error {
	for _, account := range accounts {
		s, err := l.namedSource(ctx, account, q, from)
		if err != nil {
			return err
		}
		us, err := l.loadEntries(ctx, s.buffer, false)
		if err != nil {
			return err
		}
		for _, u := range us {
			if q.OrderID == "" || u.OrderID == q.OrderID {
				counts[u.State]++
			}
		}
	}
	return nil
}
