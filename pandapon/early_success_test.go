package pandapon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
)

// halted is a voucher that gives its second half only when the client has seen something of the
// answer, so the answer comes early for certain.
type halted struct {
	first, second io.Reader
	seen          <-chan struct{}
}

func (h *halted) Read(p []byte) (int, error) {
	if n, err := h.first.Read(p); n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	<-h.seen
	return h.second.Read(p)
}

// watched gives a context that tells when the answer's first byte, or an informational answer, has
// been seen.
func watched(t *testing.T, informational bool) (context.Context, <-chan struct{}) {
	t.Helper()
	seen := make(chan struct{})
	once := sync.OnceFunc(func() { close(seen) })
	t.Cleanup(once)
	trace := &httptrace.ClientTrace{GotFirstResponseByte: once}
	if informational {
		trace = &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { once(); return nil }}
	}
	return httptrace.WithClientTrace(t.Context(), trace), seen
}

// The server begins to answer before it has the body, takes the rest of it, and only then ends its
// answer: when that has been read, the request is whole.
func TestAnswerBeginsAmidTheBody(t *testing.T) {
	t.Parallel()
	refusal := strings.Replace(success, "200", "4001", 1)
	for name, tt := range map[string]struct {
		interim, status, body string
		kind                  pandapon.Kind
		is                    error
	}{
		"success":       {status: "200 OK", body: success, kind: pandapon.NoAnswer, is: pandapon.ErrEarlyAnswer},
		"refusal":       {status: "200 OK", body: refusal, kind: pandapon.Answered},
		"unauthorized":  {status: "401 X", body: refusal, kind: pandapon.Answered},
		"too large":     {status: "413 X", body: "", kind: pandapon.Answered},
		"success later": {interim: "HTTP/1.1 103 Early Hints\r\n\r\n", status: "200 OK", body: success},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n", tt.status, len(tt.body))
			server := listen(t, func(p *peer) {
				r := p.head()
				if r == nil {
					return
				}
				early := head
				if tt.interim != "" {
					early = tt.interim
				}
				p.say(early)
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					t.Error(err)
				}
				if tt.interim != "" {
					p.say(head)
				}
				p.say(tt.body)
				p.hang()
			})
			ctx, seen := watched(t, tt.interim != "")
			all := picture(100_000)
			half := halted{first: bytes.NewReader(all[:50_000]), second: bytes.NewReader(all[50_000:]), seen: seen}
			_, err := newClient(t, server.URL).Upload(ctx, upload(&half, int64(len(all))))
			if tt.kind == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			failure(t, err, tt.kind)
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
		})
	}
}

// last tells whether a write holds the end of an upload.
func last(p []byte) bool { return bytes.HasSuffix(p, []byte(`"}`)) }

// stuck is a connection that takes only half of the last write, as one does whose other end does
// not read.
type stuck struct {
	net.Conn

	once sync.Once
	done chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	if !last(p) {
		return s.Conn.Write(p)
	}
	n, err := s.Conn.Write(p[:len(p)/2])
	if err == nil {
		<-s.done
		err = net.ErrClosed
	}
	return n, err
}

func (s *stuck) Close() error {
	s.once.Do(func() { close(s.done) })
	return s.Conn.Close()
}

// The transport has the last bytes, but they have not left.
func TestSuccessBeforeTheLastBytesLeft(t *testing.T) {
	t.Parallel()
	const size = 9000
	server := listen(t, func(p *peer) {
		r := p.head()
		if r == nil {
			return
		}
		// The order id is in the write that gets stuck.
		if _, err := io.CopyN(io.Discard, r.Body, int64(len(`{"base64":"`))+(size+2)/3*4+1); err != nil {
			t.Error(err)
		}
		p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(success), success))
		p.hang()
	})
	client := newClient(t, server.URL)
	client.Under(func(conn net.Conn) net.Conn { return &stuck{Conn: conn, done: make(chan struct{})} })
	_, err := client.Upload(t.Context(), uploadOf(picture(size)))
	if failure(t, err, pandapon.NoAnswer); !errors.Is(err, pandapon.ErrEarlyAnswer) {
		t.Errorf("got %v", err)
	}
}

// slow is a connection that has sent what it was given, but says so of the last write only once
// the answer is there.
type slow struct {
	net.Conn

	seen <-chan struct{}
}

func (s *slow) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if last(p) {
		<-s.seen
	}
	return n, err
}

// The answer may be there before the writing goroutine has come back: that is not early.
func TestSuccessOvertakesTheWriter(t *testing.T) {
	t.Parallel()
	for _, size := range []int{9, 24 << 10, 300_000} {
		server := serve(t, answer(200, success))
		ctx, seen := watched(t, false)
		client := newClient(t, server.URL)
		client.Under(func(conn net.Conn) net.Conn { return &slow{Conn: conn, seen: seen} })
		if _, err := client.Upload(ctx, uploadOf(picture(size))); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
