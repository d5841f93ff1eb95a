package pandapon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

// misdeed is a server that fails on the wire, and what a caller is told of it.
type misdeed struct {
	script  func(*peer)
	endless bool // with a voucher larger than any socket buffer; a small one is in the kernel's hands at once
	limit   time.Duration
	kind    pandapon.Kind
	status  int
	is      error
	text    string
}

// silentServers are those that break off or say nothing.
func silentServers() map[string]misdeed {
	return map[string]misdeed{
		"reset after the request": {
			script: func(p *peer) { p.request(); p.reset() }, kind: pandapon.NoAnswer, is: syscall.ECONNRESET,
		},
		"closed after the request": {
			script: func(p *peer) { p.request() }, kind: pandapon.NoAnswer, is: io.EOF,
		},
		"reset amid the body":  {script: func(p *peer) { p.head(); p.reset() }, endless: true, kind: pandapon.NotSent},
		"closed amid the body": {script: func(p *peer) { p.head() }, endless: true, kind: pandapon.NotSent},
		"hang": {
			script: func(p *peer) { p.request(); p.hang() }, limit: short, kind: pandapon.NoAnswer, is: context.DeadlineExceeded,
		},
		"hang without reading": {
			script: (*peer).stall, endless: true, limit: short, kind: pandapon.NotSent, is: context.DeadlineExceeded,
		},
	}
}

// strangeAnswers are those that answer what cannot be read.
func strangeAnswers() map[string]misdeed {
	return map[string]misdeed{
		"slow head": {
			script: func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nDate:"); p.hang() },
			limit:  4 * short, kind: pandapon.NoAnswer, is: context.DeadlineExceeded, text: "awaiting response headers",
		},
		"slow body": {
			script: func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"); p.hang() },
			limit:  short, kind: pandapon.NoAnswer, status: 200, is: context.DeadlineExceeded, text: "call limit of 1s",
		},
		"slow body of a refusal": {
			script: func(p *peer) { p.request(); p.say("HTTP/1.1 503 X\r\nContent-Length: 50\r\n\r\n{"); p.hang() },
			limit:  short, kind: pandapon.Answered, status: 503,
		},
		"cut off": {
			script: func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"code\":2") },
			kind:   pandapon.NoAnswer, status: 200, is: io.ErrUnexpectedEOF,
		},
		"cut off, chunked": {
			script: func(p *peer) {
				p.request()
				p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"code\":200}\r\n")
			},
			kind: pandapon.NoAnswer, status: 200, is: io.ErrUnexpectedEOF,
		},
		"cut off in the head": {
			script: func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nDate: x\r\n") },
			kind:   pandapon.NoAnswer, is: io.ErrUnexpectedEOF,
		},
		"not HTTP": {
			script: func(p *peer) { r := p.request(); p.say("SSH-2.0-" + r.Header.Get("access-key") + "\r\n\r\n") },
			kind:   pandapon.NoAnswer, text: "malformed HTTP response",
		},
		"malformed header": {
			script: func(p *peer) {
				r := p.request()
				p.say("HTTP/1.1 200 OK\r\n" + r.Header.Get("access-key") + " " + r.Header.Get("signature") + "\r\n\r\n")
			},
			kind: pandapon.NoAnswer, text: "malformed header",
		},
		"head without end": {
			script: func(p *peer) {
				p.request()
				p.say("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 200))
				p.hang()
			},
			kind: pandapon.NoAnswer, text: "headers exceeded",
		},
		"only 103": {
			script: func(p *peer) { p.request(); p.say("HTTP/1.1 103 Early Hints\r\n\r\n") },
			kind:   pandapon.NoAnswer, status: 103,
		},
		"102 without end": {
			script: func(p *peer) { p.request(); p.say(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100)); p.hang() },
			kind:   pandapon.NoAnswer, status: 102, text: "too many",
		},
		"101": {
			script: func(p *peer) {
				p.request()
				p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
				p.hang()
			},
			kind: pandapon.NoAnswer, status: 101,
		},
	}
}

// earlyAnswers are those that answer before the request is whole.
func earlyAnswers() map[string]misdeed {
	return map[string]misdeed{
		"redirect amid the body": {
			script: func(p *peer) {
				p.head()
				p.say("HTTP/1.1 307 X\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
				p.hang()
			},
			endless: true, kind: pandapon.NoAnswer, status: 307, is: pandapon.ErrRedirect,
		},
		"success amid the body": {
			script: func(p *peer) {
				p.head()
				p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(success), success))
				p.hang()
			},
			endless: true, kind: pandapon.NoAnswer, status: 200, is: pandapon.ErrEarlyAnswer,
		},
		"markup amid the body": {
			script: func(p *peer) {
				p.head()
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
				p.hang()
			},
			endless: true, kind: pandapon.NotSent, status: 200, is: pandapon.ErrNotJSON,
		},
	}
}

func TestFailuresOnTheWire(t *testing.T) {
	t.Parallel()
	all := silentServers()
	maps.Copy(all, strangeAnswers())
	maps.Copy(all, earlyAnswers())
	for name, tt := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, tt.script)
			u := uploadOf(picture(500))
			if tt.endless {
				u = endless()
			}
			if tt.limit == 0 {
				tt.limit = patience
			}
			_, err := newClient(t, server.URL, within(tt.limit)).Upload(t.Context(), u)
			failed := failure(t, err, tt.kind)
			if failed.HTTPStatus != tt.status {
				t.Errorf("status %d, want %d", failed.HTTPStatus, tt.status)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v does not say %q", err, tt.text)
			}
			if n := server.conns.Load(); n != 1 {
				t.Errorf("%d connections for one attempt", n)
			}
			if tt.kind == pandapon.NotSent && server.whole.Load() > 0 {
				t.Error("the request arrived whole, yet counts as not sent")
			}
		})
	}
}
