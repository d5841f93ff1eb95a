package pandapon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

const (
	rawChunk     = 24 << 10         // a multiple of 3, so that only the last chunk is padded
	encodedChunk = rawChunk / 3 * 4 // 32 KiB, the transport's own copy size

	// maxVoucher keeps the arithmetic of lengths far from overflow.
	maxVoucher = 1 << 40

	// maxEmptyReads is how often a reader may give neither bytes nor an error.
	maxEmptyReads = 100

	bodyBefore = `{"base64":"`
)

// errBodyClosed is what the transport gets when it reads on after the call.
var errBodyClosed = errors.New("request body is closed")

// chunk is what one upload in flight holds of its voucher.
type chunk struct {
	raw     [rawChunk]byte
	encoded [encodedChunk]byte
}

// bodyAfter returns what follows the base64 text.
func bodyAfter(orderID string) string {
	quoted, _ := json.Marshal(orderID) //nolint:errchkjson // a string cannot fail
	return `","orderId":` + string(quoted) + "}"
}

// body is a request body that encodes a voucher while it is read. Its last
// bytes, without which the JSON is not whole, come only after the voucher has
// ended at exactly the promised size. It is safe for concurrent use: the
// transport may read on its own goroutine after an answer has come.
type body struct {
	pool     *sync.Pool  // of *chunk
	finished atomic.Bool // every byte has been given; asked while a Read may hold the lock

	mu      sync.Mutex
	pending []byte // given next
	voucher io.Reader
	size    int64 // promised
	taken   int64 // read of the voucher so far
	ended   bool  // the voucher gave io.EOF
	after   string
	chunk   *chunk
	err     error // the voucher's fault, kept
	closed  bool
}

func newVoucherBody(pool *sync.Pool, voucher io.Reader, size int64, after string) *body {
	return &body{pool: pool, pending: []byte(bodyBefore), voucher: voucher, size: size, after: after}
}

// length is the exact Content-Length.
func (b *body) length() int64 {
	return int64(len(bodyBefore)) + (b.size+2)/3*4 + int64(len(b.after))
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.finished.Load():
		// Even after Close: the transport looks once more for excess bytes, and
		// an error there would cost it the connection.
		return 0, io.EOF
	case b.err != nil:
		return 0, b.err
	case b.closed:
		return 0, errBodyClosed
	case len(p) == 0:
		return 0, nil
	}
	if len(b.pending) == 0 {
		if err := b.fill(); err != nil {
			b.err = err
			b.release()
			return 0, err
		}
	}
	n := copy(p, b.pending)
	b.pending = b.pending[n:]
	if len(b.pending) == 0 && b.voucher == nil {
		b.finished.Store(true)
		b.release()
	}
	return n, nil
}

// fill makes the next bytes pending: a chunk of the voucher, or the end.
func (b *body) fill() error {
	if b.chunk == nil {
		b.chunk = takeChunk(b.pool)
	}
	want := b.chunk.raw[:min(rawChunk, b.size-b.taken)]
	if len(want) == 0 {
		if err := b.expectEnd(); err != nil {
			return err
		}
		b.voucher = nil
		b.pending = []byte(b.after)
		return nil
	}
	n, err := readFull(b.voucher, want)
	b.taken += int64(n)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read voucher: %w", err)
	case b.taken < b.size:
		return fmt.Errorf("%w: it ended after %d of %d bytes", ErrVoucherSize, b.taken, b.size)
	default:
		b.ended = true
	}
	b.pending = b.chunk.encoded[:encodeBase64(b.chunk.encoded[:], want)]
	return nil
}

// expectEnd asks the voucher for one more byte and wants to be told that there
// is none.
func (b *body) expectEnd() error {
	if b.ended {
		return nil
	}
	n, err := readFull(b.voucher, b.chunk.raw[:1])
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read voucher: %w", err)
	case n > 0:
		return fmt.Errorf("%w: it goes on after %d bytes", ErrVoucherSize, b.size)
	default:
		return nil
	}
}

// Close implements io.Closer. It waits for a Read in progress; after it the
// voucher is not touched again.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.release()
	return nil
}

// fault is the voucher's, nil if it had none so far.
func (b *body) fault() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *body) release() {
	if b.chunk != nil {
		b.pool.Put(b.chunk)
		b.chunk, b.pending = nil, nil
	}
}

func takeChunk(pool *sync.Pool) *chunk {
	if c, ok := pool.Get().(*chunk); ok {
		return c
	}
	return new(chunk)
}

// readFull is io.ReadFull, but it gives io.EOF as the reader gave it, and does
// not spin on a reader that gives nothing.
func readFull(r io.Reader, p []byte) (int, error) {
	n, empty := 0, 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			empty = 0
			continue
		}
		if empty++; empty == maxEmptyReads {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
