package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/accountname"
)

const (
	// cleanupLimit bounds what is done after the caller's context may be over.
	cleanupLimit = 5 * time.Second
	// checkKey lives for a minute, so that checks leave nothing.
	checkKey, checkFor = "voucherd:store-check", time.Minute
)

// The index is written before the bytes, so that a crash leaves nothing that it does not know.
// Redis's own clock dates it.
const indexScript = `
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
return redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])`

// A Put that took so long that it was swept meanwhile must not leave its tail.
const finishScript = `
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('DEL', KEYS[3])
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1`

const unclaimedScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local out = {}
for i = 1, #found, 2 do
  out[#out + 1] = found[i]
  out[#out + 1] = now - found[i + 1]
  out[#out + 1] = redis.call('HGET', KEYS[2], found[i]) or ''
end
return out`

// Redis is a blob store in the Redis that holds the queue. A voucher is a list of pieces in its
// account's cluster slot; it is as durable as that Redis is.
type Redis struct {
	rdb     redis.UniversalClient
	buffers sync.Pool // of *[chunkSize]byte
}

// NewRedis returns a blob store in rdb, which stays the caller's to close.
func NewRedis(rdb redis.UniversalClient) *Redis {
	return &Redis{rdb: rdb, buffers: sync.Pool{New: func() any { return new([chunkSize]byte) }}}
}

// redisKeys are the keys that one voucher touches, all in one cluster slot.
type redisKeys struct {
	voucher, index, metas string
}

func keysOf(p place) redisKeys {
	slot := "voucherd:{vouchers-" + p.account + "}:"
	return redisKeys{voucher: slot + "v:" + p.random, index: slot + "unclaimed", metas: slot + "unclaimed:meta"}
}

// redisMeta is what the unclaimed index knows of a voucher. A Put that has not ended leaves Entry
// without size and sum.
type redisMeta struct {
	Entry
	Meta
}

// Put implements Store. It holds one chunk in memory, whatever the size; a voucher of at most one
// chunk takes one round trip.
func (v *Redis) Put(ctx context.Context, meta Meta, r io.Reader) (Entry, error) {
	p, err := newPlace(meta.Account)
	if err != nil {
		return Entry{}, err
	}
	w := redisWriter{rdb: v.rdb, keys: keysOf(p), place: p, meta: meta}
	entry, err := v.stream(ctx, &w, r)
	if err == nil {
		return entry, nil
	}
	_, away := errors.AsType[net.Error](err)
	if w.started && (!w.failed || !away || ctx.Err() != nil) { // a Redis that is away would only keep the caller waiting
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
		defer cancel()
		// If this fails too, the index still knows what is left.
		_ = v.remove(clean, p)
	}
	return Entry{}, err
}

func (v *Redis) stream(ctx context.Context, w *redisWriter, r io.Reader) (Entry, error) {
	buf, ok := v.buffers.Get().(*[chunkSize]byte)
	if !ok {
		buf = new([chunkSize]byte)
	}
	defer v.buffers.Put(buf)
	sum := newSums()
	for {
		n, err := fill(ctx, r, buf[:])
		if err != nil && err != io.EOF { //nolint:errorlint // The end is plain io.EOF; a wrapped one is a fault.
			return Entry{}, fmt.Errorf("read the voucher: %w", err)
		}
		_, _ = sum.Write(buf[:n]) // it takes everything
		if err == nil {
			if err = w.write(ctx, buf[:n]); err != nil {
				w.failed = true
				return Entry{}, err
			}
			continue
		}
		entry := sum.entry(w.place.key)
		err = w.finish(ctx, entry, buf[:n])
		w.failed = err != nil
		return entry, err
	}
}

// fill reads until buf is full or r ends with plain io.EOF. Unlike io.ReadFull it keeps
// io.ErrUnexpectedEOF, by which a reader says that it was cut off.
func fill(ctx context.Context, r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) {
		if err = ctx.Err(); err != nil {
			return n, err
		}
		m, err := r.Read(buf[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Claim implements Store.
func (v *Redis) Claim(ctx context.Context, key string) error {
	p, err := placeOf(key)
	if err != nil {
		return err
	}
	k := keysOf(p)
	pipe := v.rdb.Pipeline()
	exists := pipe.Exists(ctx, k.voucher)
	pipe.ZRem(ctx, k.index, p.random)
	pipe.HDel(ctx, k.metas, p.random)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("claim in the Redis store: %w", err)
	}
	if exists.Val() == 0 {
		return fmt.Errorf("%w: %s", ErrMissing, key)
	}
	return nil
}

// Delete implements Store, in one round trip.
func (v *Redis) Delete(ctx context.Context, keys ...string) error {
	places, err := placesOf(keys)
	if err != nil {
		return err
	}
	return v.remove(ctx, places...)
}

// remove takes the bytes first: the index knows what is left, if anything is.
func (v *Redis) remove(ctx context.Context, places ...place) error {
	pipe := v.rdb.Pipeline()
	for _, p := range places {
		k := keysOf(p)
		pipe.Unlink(ctx, k.voucher)
		pipe.ZRem(ctx, k.index, p.random)
		pipe.HDel(ctx, k.metas, p.random)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("delete from the Redis store: %w", err)
	}
	return nil
}

// Note implements Store; the ledger lies in the same Redis and knows more.
func (v *Redis) Note(_ context.Context, key string, _ Note) error {
	_, err := placeOf(key)
	return err
}

// Retire implements Store: it deletes them.
func (v *Redis) Retire(ctx context.Context, vouchers ...Retired) error {
	keys := make([]string, len(vouchers))
	for i, r := range vouchers {
		keys[i] = r.Key
	}
	return v.Delete(ctx, keys...)
}

// Noted implements Store: what Redis has lost, it has lost here too.
func (v *Redis) Noted(_ context.Context, key string) (Stored, error) {
	return Stored{}, fmt.Errorf("%w: %s", ErrMissing, key)
}

// ForgetRetired implements Store; there is nothing to forget.
func (v *Redis) ForgetRetired(context.Context, string, time.Duration) error { return nil }

// Unclaimed implements Store: one round trip, oldest first.
func (v *Redis) Unclaimed(ctx context.Context, account string, olderThan time.Duration, limit int) ([]Unclaimed, error) {
	if !accountname.Valid(account) || limit <= 0 {
		return nil, nil
	}
	k := keysOf(place{account: account})
	rows, err := v.rdb.Eval(ctx, unclaimedScript, []string{k.index, k.metas}, olderThan.Milliseconds(), limit).Slice()
	if err != nil {
		return nil, fmt.Errorf("list unclaimed in the Redis store: %w", err)
	}
	const columns = 3
	found := make([]Unclaimed, 0, len(rows)/columns)
	for ; len(rows) >= columns; rows = rows[columns:] {
		random, okRandom := rows[0].(string)
		age, okAge := rows[1].(int64)
		text, okText := rows[2].(string)
		if !okRandom || !okAge || !okText {
			return nil, errors.New("list unclaimed in the Redis store: not the expected kind of answer")
		}
		var m redisMeta
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			m = redisMeta{} // Then its key and age must do.
		}
		m.Key = account + "-" + random
		found = append(found, Unclaimed{Entry: m.Entry, Meta: m.Meta, Age: time.Duration(age) * time.Millisecond})
	}
	return found, nil
}

// All implements Store: there is nothing that the ledger's Redis would not have lost too.
func (v *Redis) All(context.Context) iter.Seq2[Stored, error] {
	return func(func(Stored, error) bool) {}
}

// Check implements Store: it writes a small key and reads it back.
func (v *Redis) Check(ctx context.Context) error {
	pipe := v.rdb.Pipeline()
	pipe.Set(ctx, checkKey, "ok", checkFor)
	got := pipe.Get(ctx, checkKey)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("check the Redis store: %w", err)
	}
	if got.Val() != "ok" {
		return errors.New("check the Redis store: it did not keep what was written")
	}
	return nil
}

// Identity implements Store: whoever shares the queue's Redis shares its store.
func (v *Redis) Identity(context.Context) (string, error) { return "redis:", nil }

// Close implements Store; there is nothing to give back.
func (v *Redis) Close() error { return nil }
