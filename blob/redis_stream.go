package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/pieces"
)

const (
	// chunkSize is how much is held in memory per voucher being written, and what a reader gets at
	// once when that is all that is left.
	chunkSize = 2 * pieces.Most
)

var errLost = errors.New("what was written before is gone: enqueue the voucher again")

// The client repeats what got no answer: a chunk is appended only behind those before it, so that
// Redis may get it twice, and late.
const appendScript = `
local n = redis.call('LLEN', KEYS[1])
if n == tonumber(ARGV[1]) then n = redis.call('RPUSH', KEYS[1], unpack(ARGV, 2)) end
return n`

// redisWriter appends to one voucher.
type redisWriter struct {
	rdb     redis.UniversalClient
	keys    redisKeys
	place   place
	meta    Meta
	pieces  int64 // list elements written so far
	failed  bool  // a write did
	started bool
}

// write appends a chunk that is not the last one.
func (w *redisWriter) write(ctx context.Context, chunk []byte) error {
	pipe := w.rdb.Pipeline()
	if !w.started {
		if err := w.index(ctx, pipe, Entry{Key: w.place.key}); err != nil {
			return err
		}
	}
	return w.exec(ctx, pipe, w.push(ctx, pipe, chunk))
}

// finish appends the last bytes and completes the index.
func (w *redisWriter) finish(ctx context.Context, e Entry, tail []byte) error {
	pipe := w.rdb.Pipeline()
	if !w.started {
		if err := w.index(ctx, pipe, e); err != nil {
			return err
		}
		return w.exec(ctx, pipe, w.push(ctx, pipe, tail))
	}
	var push *redis.Cmd
	if len(tail) > 0 {
		push = w.push(ctx, pipe, tail)
	}
	text, err := json.Marshal(redisMeta{Entry: e, Meta: w.meta})
	if err != nil {
		return fmt.Errorf("write voucher metadata: %w", err)
	}
	known := pipe.Eval(ctx, finishScript, []string{w.keys.index, w.keys.metas, w.keys.voucher}, w.place.random, text)
	if err := w.exec(ctx, pipe, push); err != nil {
		return err
	}
	if n, err := known.Int(); err != nil || n == 0 {
		return errors.New("put in the Redis store: deleted while it was being written")
	}
	return nil
}

func (w *redisWriter) index(ctx context.Context, pipe redis.Pipeliner, e Entry) error {
	text, err := json.Marshal(redisMeta{Entry: e, Meta: w.meta})
	if err != nil {
		return fmt.Errorf("write voucher metadata: %w", err)
	}
	pipe.Eval(ctx, indexScript, []string{w.keys.index, w.keys.metas}, w.place.random, text)
	return nil
}

// push appends pieces.
func (w *redisWriter) push(ctx context.Context, pipe redis.Pipeliner, chunk []byte) *redis.Cmd {
	args := []any{w.pieces}
	for _, piece := range pieces.Cut(chunk) {
		args = append(args, piece)
		w.pieces++
	}
	w.started = true
	return pipe.Eval(ctx, appendScript, []string{w.keys.voucher}, args...)
}

// exec sends pipe, and checks that all that was pushed is there.
func (w *redisWriter) exec(ctx context.Context, pipe redis.Pipeliner, push *redis.Cmd) error {
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("put in the Redis store: %w", err)
	}
	if push == nil {
		return nil
	}
	if n, err := push.Int64(); err != nil || n != w.pieces {
		return fmt.Errorf("put in the Redis store: %w", errLost)
	}
	return nil
}

// Open implements Store. It holds one chunk in memory; a voucher of at most one chunk takes one
// round trip.
func (v *Redis) Open(ctx context.Context, e Entry) (io.ReadCloser, error) {
	p, err := placeOf(e.Key)
	if err != nil {
		return nil, err
	}
	src := &redisReader{ctx: ctx, rdb: v.rdb, list: keysOf(p).voucher, key: e.Key, left: e.Size}
	if err := src.fetch(); err != nil {
		return nil, err
	}
	return newVerified(src, e), nil
}

// redisReader reads one voucher's list from its start.
type redisReader struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no other way to end a read.
	rdb    redis.UniversalClient
	list   string
	key    string
	pieces []string // fetched, not yet given
	next   int64    // index of the first piece not fetched
	left   int64    // bytes not fetched, by what the entry says
	ended  bool     // the whole list was fetched
}

func (r *redisReader) Read(p []byte) (int, error) {
	for {
		for len(r.pieces) > 0 && r.pieces[0] == "" {
			r.pieces = r.pieces[1:]
		}
		if len(r.pieces) > 0 {
			n := copy(p, r.pieces[0])
			r.pieces[0] = r.pieces[0][n:]
			return n, nil
		}
		if r.ended {
			return 0, io.EOF
		}
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
}

// fetch gets one piece, or all that are left once these fit into one chunk.
func (r *redisReader) fetch() error {
	last := r.next
	if r.left <= chunkSize {
		last, r.ended = -1, true
	}
	fetched, err := r.rdb.LRange(r.ctx, r.list, r.next, last).Result()
	if err != nil {
		r.ended = false
		return fmt.Errorf("read from the Redis store: %w", err)
	}
	if len(fetched) == 0 {
		if r.next == 0 {
			return fmt.Errorf("%w: %s", ErrMissing, r.key)
		}
		r.ended = true
	}
	r.pieces, r.next = fetched, r.next+int64(len(fetched))
	for _, p := range fetched {
		r.left -= int64(len(p))
	}
	return nil
}

func (r *redisReader) Close() error {
	r.pieces, r.ended = nil, true
	return nil
}
