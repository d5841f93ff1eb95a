package ledger

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// readAtOnce bounds how many entries or uploads one call to Redis reads.
const readAtOnce = 500

// place is where a page starts, and in which direction it goes.
type place struct {
	entry        // the last entry of the page before
	set    bool  // there was a page before
	since  int64 // ms; 0: any time
	before func(a, b entry) int
	oldest bool
}

// entry is one upload in an index of states.
type entry struct {
	score        int64
	key, account string
}

// id is the upload's.
func (e entry) id() string { return e.account + "-" + e.key }

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.key, b.key), cmp.Compare(a.account, b.account))
}

// source is one index of states, read piece by piece.
type source struct {
	index   string
	account string
	from    place
	chunk   int64
	offset  int64
	buffer  []entry
	done    bool
}

// next gives the command's arguments that read the next piece.
func (s *source) next() redis.ZRangeArgs {
	low, high := "-inf", "+inf"
	if s.from.since > 0 {
		low = strconv.FormatInt(s.from.since, 10)
	}
	if s.from.set && s.from.oldest {
		low = strconv.FormatInt(s.from.score, 10)
	} else if s.from.set {
		high = strconv.FormatInt(s.from.score, 10)
	}
	by := redis.ZRangeArgs{
		Key: s.index, ByScore: true, Rev: !s.from.oldest, Start: low, Stop: high, Offset: s.offset, Count: s.chunk,
	}
	if by.Rev { // Redis wants the higher bound first then
		by.Start, by.Stop = high, low
	}
	return by
}

// add takes in a piece that was read.
func (s *source) add(zs []redis.Z) {
	s.offset += int64(len(zs))
	s.done = int64(len(zs)) < s.chunk
	for _, z := range zs {
		key, ok := z.Member.(string)
		e := entry{int64(z.Score), key, s.account}
		if ok && (!s.from.set || s.from.before(e, s.from.entry) > 0) {
			s.buffer = append(s.buffer, e)
		}
	}
}

// merge reads several sources as one, in order.
type merge struct {
	rdb     redis.UniversalClient
	before  func(a, b entry) int
	sources []*source
}

// take gives the next n entries; fewer when there are no more.
func (m merge) take(ctx context.Context, n int) ([]entry, error) {
	var out []entry
	for len(out) < n {
		if err := m.fill(ctx); err != nil {
			return nil, err
		}
		var best *source
		for _, s := range m.sources {
			if len(s.buffer) > 0 && (best == nil || m.before(s.buffer[0], best.buffer[0]) < 0) {
				best = s
			}
		}
		if best == nil {
			return out, nil
		}
		// An upload that moved between two pieces of different states stands in both.
		if e := best.buffer[0]; len(out) == 0 || out[len(out)-1] != e {
			out = append(out, e)
		}
		best.buffer = best.buffer[1:]
	}
	return out, nil
}

// fill reads on where a source is empty and has not ended.
func (m merge) fill(ctx context.Context) error {
	for {
		lacking := map[string][]*source{}
		for _, s := range m.sources {
			if len(s.buffer) == 0 && !s.done {
				lacking[s.account] = append(lacking[s.account], s)
			}
		}
		if len(lacking) == 0 {
			return nil
		}
		for account, sources := range lacking {
			if err := m.read(ctx, account, sources); err != nil {
				return err
			}
		}
	}
}

// read reads the next pieces of an account's sources at one instant: an upload that moves from one
// state to another is found in one of them.
func (m merge) read(ctx context.Context, account string, sources []*source) error {
	cmds := make([]*redis.ZSliceCmd, len(sources))
	_, err := m.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, s := range sources {
			cmds[i] = pipe.ZRangeArgsWithScores(ctx, s.next())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list uploads of account %s: %w", account, err)
	}
	for i, s := range sources {
		s.add(cmds[i].Val())
	}
	return nil
}
