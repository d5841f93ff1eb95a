package ledger

import (
	"context"
	"crypto/sha1" //nolint:gosec // only spreads request ids over buckets, as the scripts do
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/pieces"
)

// Get reads an upload with its last 100 attempts, oldest first. The error is ErrNotFound when there
// is none.
func (l *Ledger) Get(ctx context.Context, id string) (Upload, error) {
	account, key, err := ParseID(id)
	if err != nil {
		return Upload{}, err
	}
	us, err := l.load(ctx, account, []string{key}, -KeptAttempts)
	if err != nil {
		return Upload{}, err
	}
	if len(us) == 0 {
		return Upload{}, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	return us[0], nil
}

// KeptAttempts is the number of attempts that are kept of one upload; all are counted.
const KeptAttempts = 100

// Find gives the uploads that a key names, newest first, with their attempts: an upload id names
// one, an order id all of its order, a request id the one that had it in any attempt. The error is
// ErrNotFound when there is none.
func (l *Ledger) Find(ctx context.Context, key string) ([]Upload, error) {
	return l.named(ctx, key, l.keysOf)
}

// named gives the upload with this id, or else what a look-up in each account finds.
func (l *Ledger) named(ctx context.Context, name string, lookUp func(context.Context, string, string) ([]string, error)) ([]Upload, error) {
	if u, err := l.Get(ctx, name); err == nil || !errors.Is(err, ErrNotFound) {
		return []Upload{u}, err
	}
	accounts, err := l.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	var found []Upload
	for _, account := range accounts {
		keys, err := lookUp(ctx, account, name)
		if err != nil {
			return nil, err
		}
		us, err := l.load(ctx, account, keys, -KeptAttempts)
		if err != nil {
			return nil, err
		}
		found = append(found, us...)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%q: %w", clip(name, 80), ErrNotFound)
	}
	slices.SortFunc(found, func(a, b Upload) int { return b.CreatedAt.Compare(a.CreatedAt.Time) })
	return found, nil
}

// findMost bounds how many uploads of one order Find reads.
const findMost = 1000

// keysOf gives the keys of an account's uploads that have this order id, or had this request id.
func (l *Ledger) keysOf(ctx context.Context, account, name string) ([]string, error) {
	p := prefix(account)
	pipe := l.rdb.Pipeline()
	byOrder := pipe.ZRevRange(ctx, p+"o:"+name, 0, findMost-1)
	request := line(name, maxRequestID)
	byRequest := pipe.HGet(ctx, requestBucket(account, request), request)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look up %q: %w", clip(name, 80), err)
	}
	keys := byOrder.Val()
	if k := byRequest.Val(); k != "" && !slices.Contains(keys, k) {
		keys = append(keys, k)
	}
	return keys, nil
}

// requestBucket is the hash that a request id is kept in, as bucket_of in lib.lua has it.
func requestBucket(account, requestID string) string {
	sum := sha1.Sum([]byte(requestID)) //nolint:gosec // see above
	return prefix(account) + "r:" + hex.EncodeToString(sum[:])[:3]
}

// load reads uploads with the attempts from index `from` on (negative: counted from the newest).
// Keys without a record are left out.
func (l *Ledger) load(ctx context.Context, account string, keys []string, from int64) ([]Upload, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	p := prefix(account)
	pipe := l.rdb.Pipeline()
	records := make([]*redis.MapStringStringCmd, len(keys))
	lines := make([]*redis.StringSliceCmd, len(keys))
	for i, k := range keys {
		records[i] = pipe.HGetAll(ctx, p+"u:"+k)
		lines[i] = pipe.LRange(ctx, p+"a:"+k, from, -1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read uploads of account %s: %w", account, err)
	}
	us := make([]Upload, 0, len(keys))
	for i, k := range keys {
		if f := records[i].Val(); f["state"] != "" {
			us = append(us, l.readUpload(account, k, f, lines[i].Val()))
		}
	}
	return us, nil
}

// Voucher reads the bytes of an upload that keeps them inline, in pieces. The error is ErrNotKept
// when they are gone.
func (l *Ledger) Voucher(ctx context.Context, id string) ([]string, error) {
	account, key, err := ParseID(id)
	if err != nil {
		return nil, err
	}
	voucher, err := l.rdb.LRange(ctx, prefix(account)+"b:"+key, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read the voucher of %s: %w", id, err)
	}
	if len(voucher) == 0 {
		return nil, fmt.Errorf("read the voucher of %s: %w", id, ErrNotKept)
	}
	return voucher, nil
}

// Instead is what an upload holds instead of the bytes of its voucher that it has.
type Instead struct {
	ID       string
	Former   string // the store key that it has; "": the ledger keeps the bytes itself
	StoreKey string // the one instead
	CRC32C   string // of the bytes instead
	Lost     bool   // the former are lost; else they leave the blob store in a day, unless the caller has deleted them
	Inline   []byte // the bytes instead that the ledger keeps itself
}

// formerLeaves is how long the former bytes stay: until the reconciler has claimed those instead, if
// the caller died before it could.
const formerLeaves = 24 * time.Hour

// HoldInstead has an upload hold other bytes than those it has, which are lost, or are encrypted anew.
// It says whether it did: not when it holds yet others by now, nor in place of bytes that are not lost
// while they are being sent, or once they were delivered or discarded.
func (l *Ledger) HoldInstead(ctx context.Context, i Instead) (bool, error) {
	account, key, err := ParseID(i.ID)
	if err != nil {
		return false, err
	}
	args := []any{key, i.Former, i.StoreKey, i.CRC32C, formerLeaves.Milliseconds()}
	if i.Lost {
		args[4] = 0
	}
	if i.Former == "" {
		for _, p := range pieces.Cut(i.Inline) {
			args = append(args, p)
		}
	}
	r, err := l.run(ctx, l.scripts.hold, account, args...)
	if err != nil {
		return false, fmt.Errorf("give %s another voucher: %w", i.ID, err)
	}
	return r.num(0) == 1, nil
}

// Counts is how many uploads of an account stand in each state.
type Counts struct {
	ByState map[State]int64
	Oldest  time.Duration // for how long the unfinished upload that waits longest has waited; 0: none is unfinished
}

// Unfinished is the number of uploads that are not finished: the backlog.
func (c Counts) Unfinished() int64 {
	return c.ByState[Queued] + c.ByState[Sending] + c.ByState[Waiting]
}

// firstLooked is of how many uploads, those of an index that were made first, Counts looks whether they
// were sent again since.
const firstLooked = 32

// Counts counts an account's uploads. Its cost does not grow with their number. An upload that was sent
// again waits since then; behind more of these than firstLooked one that waits longer may be overlooked.
func (l *Ledger) Counts(ctx context.Context, account string) (Counts, error) {
	pipe := l.rdb.Pipeline()
	clock := pipe.Time(ctx)
	sizes := map[State][]*redis.IntCmd{}
	var oldest []*redis.ZSliceCmd
	for _, s := range States() {
		for _, index := range indexes([]State{s}) {
			sizes[s] = append(sizes[s], pipe.ZCard(ctx, prefix(account)+index))
			if !s.Final() {
				oldest = append(oldest, pipe.ZRangeWithScores(ctx, prefix(account)+index, 0, firstLooked-1))
			}
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return Counts{}, fmt.Errorf("count uploads of account %s: %w", account, err)
	}
	c := Counts{ByState: map[State]int64{}}
	for s, ns := range sizes {
		for _, n := range ns {
			c.ByState[s] += n.Val()
		}
	}
	var first []redis.Z
	for _, z := range oldest {
		first = append(first, z.Val()...)
	}
	since, err := l.waitSince(ctx, account, first)
	if err == nil && len(first) > 0 {
		c.Oldest = max(clock.Val().Sub(since), 0)
	}
	return c, err
}

// waitSince gives since when the one of some unfinished uploads, of an index, waits that waits longest.
func (l *Ledger) waitSince(ctx context.Context, account string, of []redis.Z) (time.Time, error) {
	pipe := l.rdb.Pipeline()
	since := make([]*redis.StringCmd, len(of))
	for i, z := range of {
		since[i] = pipe.HGet(ctx, fmt.Sprint(prefix(account), "u:", z.Member), "since")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return time.Time{}, fmt.Errorf("ask since when uploads of account %s wait: %w", account, err)
	}
	first := int64(math.MaxInt64)
	for i, z := range of {
		first = min(first, max(int64(z.Score), integer(since[i].Val())))
	}
	return time.UnixMilli(first), nil
}

// Sizes compares what must agree: where tasks are missing for long, keys were lost.
type Sizes struct {
	Unfinished int64 // uploads in the states that are not final
	Needed     int64 // uploads that must have a task: the heads of their order queues
	Tasks      int64 // tasks there are
}

// Sizes reads the sizes of an account's indexes and of its queue. Its cost does not grow with them.
func (l *Ledger) Sizes(ctx context.Context, account string) (Sizes, error) {
	p, q := prefix(account), "asynq:{"+Queue(account)+"}:"
	pipe := l.rdb.TxPipeline()
	needed := []*redis.IntCmd{pipe.ZCard(ctx, p+"s:queued"), pipe.ZCard(ctx, p+"s:sending"), pipe.ZCard(ctx, p+"s:waiting")}
	behind := pipe.ZCard(ctx, p+"s:behind")
	tasks := []*redis.IntCmd{
		pipe.LLen(ctx, q+"pending"), pipe.LLen(ctx, q+"active"), pipe.ZCard(ctx, q+"retry"), pipe.ZCard(ctx, q+"scheduled"),
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return Sizes{}, fmt.Errorf("compare the indexes of account %s: %w", account, err)
	}
	var s Sizes
	for _, n := range needed {
		s.Needed += n.Val()
	}
	for _, n := range tasks {
		s.Tasks += n.Val()
	}
	s.Unfinished = s.Needed + behind.Val()
	return s, nil
}

// splitCursor reads a page's cursor: "<ms>.<key>.<account>".
func splitCursor(s string) (ms int64, key, account string, ok bool) {
	f := strings.Split(s, ".")
	if len(f) != 3 || !keyText.MatchString(f[1]) || !ValidAccount(f[2]) || integer(f[0]) <= 0 {
		return 0, "", "", false
	}
	return integer(f[0]), f[1], f[2], true
}
