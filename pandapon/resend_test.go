package pandapon_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
)

// A server that closes a connection it had kept: the transport must not send a
// second time, and what the server saw whole must not count as not sent.
func TestKeptConnectionIsClosed(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(*peer){
		"closed": func(p *peer) { p.request() },
		"reset":  func(p *peer) { p.request(); p.reset() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for conns := int64(2); conns != 1; { // net/http keeps no connection whose writer lags 50 ms behind the answer
				server := listen(t, func(p *peer) {
					if p.request() != nil {
						p.say(ok)
						after(p)
					}
				})
				client := newClient(t, server.URL)
				_, err := client.Upload(t.Context(), uploadOf(picture(9)))
				failure(t, err, pandapon.NoAnswer) // {} has no code
				_, err = client.Upload(t.Context(), uploadOf(picture(900)))
				failure(t, err, pandapon.NoAnswer)
				conns = server.conns.Load()
				if whole := server.whole.Load(); conns > 2 || whole != 2 {
					t.Fatalf("%d connections and %d requests, want 1 and 2", conns, whole)
				}
			}
		})
	}
}

// The same as a race: the server closes the idle connection while the next
// request is on its way.
func TestIdleConnectionClosesInTheAct(t *testing.T) {
	t.Parallel()
	success := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(success), success)
	server := listen(t, func(p *peer) {
		if p.request() != nil {
			p.say(success)
		}
	})
	client := newClient(t, server.URL)
	for range 300 {
		before := server.whole.Load()
		_, err := client.Upload(t.Context(), uploadOf(picture(900)))
		seen := server.whole.Load() - before
		var failed *pandapon.Error
		switch {
		case err == nil && seen == 1:
		case errors.As(err, &failed) && failed.Kind == pandapon.NotSent && seen == 0:
		case errors.As(err, &failed) && failed.Kind == pandapon.NoAnswer && seen <= 1:
		default:
			t.Fatalf("%v, and the server saw %d requests", err, seen)
		}
	}
}

// Whatever a server does at whatever byte: not sent means that it cannot have
// the whole request.
func TestNotSentIsTrue(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(1))
	voucher := picture(400_000)
	for range 150 {
		cut, abrupt := random.Int63n(int64(len(voucher))*4/3), random.Intn(2) == 0
		if random.Intn(4) == 0 {
			cut = 1 << 30 // the whole of it
		}
		server := listen(t, func(p *peer) {
			r := p.head()
			if r == nil {
				return
			}
			if n, _ := io.CopyN(io.Discard, r.Body, min(cut, r.ContentLength)); n == r.ContentLength {
				p.line.whole.Add(1)
			}
			if abrupt {
				p.reset()
			}
		})
		_, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(voucher))
		var failed *pandapon.Error
		if !errors.As(err, &failed) || failed.Kind == pandapon.Answered {
			t.Fatalf("got %v", err)
		}
		if failed.Kind == pandapon.NotSent && server.whole.Load() > 0 {
			t.Fatalf("not sent, yet whole: %v", err)
		}
		if n := server.conns.Load(); n != 1 {
			t.Fatalf("%d connections", n)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := listen(t, func(p *peer) { p.request() })
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		for _, location := range []string{elsewhere.URL + "/" + testQuery, "/again", "", "http://%zz" + testQuery} {
			server := listen(t, func(p *peer) {
				if p.request() != nil {
					p.say(fmt.Sprintf("HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, location))
				}
			})
			_, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(10)))
			failed := failure(t, err, pandapon.NoAnswer)
			if failed.HTTPStatus != status || !errors.Is(err, pandapon.ErrRedirect) {
				t.Errorf("%d to %q: %v", status, location, err)
			}
			if n := server.whole.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		}
	}
	if n := elsewhere.conns.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}
