package pandapon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"testing/iotest"

	"github.com/voucherd/voucherd/pandapon"
)

var errReader = errors.New("the blob store is away")

// watcher is a server that answers with success and counts what came whole.
func watcher(t *testing.T) *line {
	t.Helper()
	return listen(t, func(p *peer) {
		for p.request() != nil {
			p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(success), success))
		}
	})
}

// A voucher that does not come as promised never makes a whole request.
func TestVoucherFaults(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 3, 24 << 10, 24<<10 + 1, 200_000} {
		voucher := picture(size)
		broken := func(n int) io.Reader {
			return io.MultiReader(bytes.NewReader(voucher[:n]), iotest.ErrReader(errReader))
		}
		for name, tt := range map[string]struct {
			reader io.Reader
			want   error
		}{
			"fails at once":               {broken(0), errReader},
			"fails midway":                {broken(size / 2), errReader},
			"fails before the end":        {broken(max(size-1, 0)), errReader},
			"fails after the end":         {broken(size), errReader},
			"fails beside the last bytes": {&lastWord{data: voucher}, errReader},
			"too long by one":             {bytes.NewReader(append(picture(size), 0)), pandapon.ErrVoucherSize},
			"too long by far":             {zeros{}, pandapon.ErrVoucherSize},
			"gives nothing":               {mute{}, io.ErrNoProgress},
			"its own end":                 {io.MultiReader(bytes.NewReader(voucher), iotest.ErrReader(context.Canceled)), context.Canceled},
			"too short by one":            {bytes.NewReader(voucher[:max(size-1, 0)]), pandapon.ErrVoucherSize},
			"too short, end beside data":  {iotest.DataErrReader(bytes.NewReader(voucher[:size/2])), pandapon.ErrVoucherSize},
			"cut":                         {io.MultiReader(bytes.NewReader(voucher), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
		} {
			if size == 0 && tt.want == pandapon.ErrVoucherSize && name[:5] == "too s" { //nolint:errorlint // the table's own value
				continue // nothing is shorter than nothing
			}
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				t.Parallel()
				server := watcher(t)
				_, err := newClient(t, server.URL).Upload(t.Context(), upload(tt.reader, int64(size)))
				if failure(t, err, pandapon.NotSent); !errors.Is(err, tt.want) {
					t.Errorf("%v is not %v", err, tt.want)
				}
				until(t, "the connection ends", func() bool { return server.ended.Load() == 1 })
				if conns, whole := server.conns.Load(), server.whole.Load(); conns != 1 || whole != 0 {
					t.Errorf("%d connections, %d whole requests", conns, whole)
				}
			})
		}
	}
}

// A reader's error keeps its identity, and its text loses what must not be seen.
func TestVoucherFaultIsScrubbed(t *testing.T) {
	t.Parallel()
	fault := fmt.Errorf("open /%s/%s: %w", testKey, testSecret, errReader)
	_, err := newClient(t, watcher(t).URL).Upload(t.Context(), upload(iotest.ErrReader(fault), 10))
	if !errors.Is(err, errReader) {
		t.Errorf("got %v", err)
	}
	if want := "pandapon: not sent: read voucher: open /***/***: " + errReader.Error(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// lastWord gives its data and its error in one call.
type lastWord struct{ data []byte }

func (l *lastWord) Read(p []byte) (int, error) {
	n := copy(p, l.data)
	if l.data = l.data[n:]; len(l.data) > 0 {
		return n, nil
	}
	return n, errReader
}

// mute never gives anything, and never says why.
type mute struct{}

func (mute) Read([]byte) (int, error) { return 0, nil }

// A voucher's fault is told even when a server answers before it shows.
func TestVoucherFaultBeatsAnEarlyAnswer(t *testing.T) {
	t.Parallel()
	answered := make(chan struct{})
	server := listen(t, func(p *peer) {
		p.head()
		p.say(fmt.Sprintf("HTTP/1.1 429 X\r\nRetry-After: 9\r\nContent-Length: %d\r\n\r\n%s", len(success), success[:10]))
		<-answered
		p.say(success[10:])
		p.hang()
	})
	reader := readFunc(func([]byte) (int, error) {
		close(answered)
		return 0, errReader
	})
	_, err := newClient(t, server.URL).Upload(t.Context(), upload(reader, 10))
	failed := failure(t, err, pandapon.NotSent)
	if !errors.Is(err, errReader) {
		t.Errorf("got %+v", failed)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Once Upload has returned, the voucher belongs to the caller again: it waits
// even for a Read that an answer has overtaken.
func TestVoucherIsLeftAloneAfterwards(t *testing.T) {
	t.Parallel()
	server := listen(t, func(p *peer) {
		if p.head() != nil {
			p.say("HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\n{}")
			p.hang()
		}
	})
	reads := 0 // not atomic: the race detector watches, too
	reader := readFunc(func(p []byte) (int, error) {
		until(t, "the client hangs up", func() bool { return server.ended.Load() == 1 })
		reads++
		return len(p), nil
	})
	_, err := newClient(t, server.URL).Upload(t.Context(), upload(reader, endlessSize))
	failure(t, err, pandapon.Answered)
	if reads != 1 {
		t.Errorf("%d reads when Upload returned, want 1", reads)
	}
}

// The connection breaks while the voucher gives its last word: every byte has
// been read, and yet the closing ones never went out.
func TestConnectionBreaksAtTheLastByte(t *testing.T) {
	t.Parallel()
	server := listen(t, func(p *peer) { p.head(); p.reset() })
	reader := io.MultiReader(bytes.NewReader(picture(10)), readFunc(func([]byte) (int, error) {
		until(t, "the server resets", func() bool { return server.ended.Load() == 1 })
		return 0, io.EOF
	}))
	_, err := newClient(t, server.URL).Upload(t.Context(), upload(reader, 10))
	failure(t, err, pandapon.NotSent)
}

func TestContextIsCancelled(t *testing.T) {
	t.Parallel()
	cause := errors.New("the worker stops")
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		server := watcher(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		_, err := newClient(t, server.URL).Upload(ctx, uploadOf(picture(10)))
		if failure(t, err, pandapon.NotSent); !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		if n := server.begun.Load(); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("amid the body", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		server := listen(t, func(p *peer) {
			p.head()
			cancel(cause)
			p.stall()
		})
		_, err := newClient(t, server.URL).Upload(ctx, endless())
		if failure(t, err, pandapon.NotSent); !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("awaiting the answer", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		server := listen(t, func(p *peer) {
			p.request()
			cancel()
			p.hang()
		})
		_, err := newClient(t, server.URL).Upload(ctx, uploadOf(picture(10)))
		if failure(t, err, pandapon.NoAnswer); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by the voucher", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		reader := readFunc(func([]byte) (int, error) {
			cancel()
			return 0, ctx.Err()
		})
		_, err := newClient(t, watcher(t).URL).Upload(ctx, upload(reader, 10))
		if failure(t, err, pandapon.NotSent); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// The voucher is streamed: what an upload allocates does not grow with it.
//
//nolint:paralleltest // it measures what the whole process allocates
func TestUploadMemoryIsFlat(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n != r.ContentLength {
			http.Error(w, "cut", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, success)
	})
	client := newClient(t, server.URL)
	cost := func(size int64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := client.Upload(t.Context(), upload(io.LimitReader(zeros{}, size), size)); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	cost(1 << 20) // connection, pools
	const bound = 512 << 10
	for _, size := range []int64{2 << 10, 10 << 20, 40 << 20} {
		got := cost(size)
		t.Log(strconv.FormatInt(size, 10), "bytes of voucher cost", got)
		if got > bound {
			t.Errorf("a voucher of %d bytes allocated %d, more than %d", size, got, bound)
		}
	}
}
