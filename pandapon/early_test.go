package pandapon_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

func TestInformationalAnswersAreSkipped(t *testing.T) {
	t.Parallel()
	server := listen(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"code\":200}")
	})
	if _, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(9))); err != nil {
		t.Error(err)
	}
}

// A server that answers after the head and hangs up at once resets the
// connection we still write to. Its answer must win, every time.
func TestEarlyAnswerIsRead(t *testing.T) {
	t.Parallel()
	early := func(p *peer) {
		if p.head() == nil {
			return
		}
		p.say("HTTP/1.1 413 Too Large\r\nRetry-After: 7\r\nContent-Length: 32\r\n\r\n{\"code\":413,\"requestId\":\"early\"}")
		p.reset()
	}
	slower := func(p *peer) {
		if p.head() == nil {
			return
		}
		p.say("HTTP/1.1 413 Too Large\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 32\r\n\r\n{\"code\":413,\"requestId\":\"early\"}")
	}
	for name, script := range map[string]func(*peer){"close": slower, "stay": func(p *peer) { slower(p); p.hang() }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 25 {
				server := listen(t, script)
				_, err := newClient(t, server.URL).Upload(t.Context(), endless())
				failed := failure(t, err, pandapon.Answered)
				if failed.HTTPStatus != http.StatusRequestEntityTooLarge || failed.RetryAfter != 7*time.Second || failed.Envelope.RequestID != "early" {
					t.Fatalf("got %+v", failed)
				}
			}
		})
	}
	// With RST at once the kernel may drop the answer on the server's side: then
	// there is none to read, and NotSent is the truth.
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		for range 25 {
			server := listen(t, early)
			_, err := newClient(t, server.URL).Upload(t.Context(), endless())
			var failed *pandapon.Error
			if !errors.As(err, &failed) || failed.Kind == pandapon.NoAnswer {
				t.Fatalf("got %v", err)
			}
			failure(t, err, failed.Kind)
		}
	})
}

func TestEarlyAnswerUnderTLS(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1 << 20, endlessSize} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":401}`)
		}))
		defer server.Close()
		client := newClient(t, server.URL)
		client.Trust(pool(server))
		for range 5 {
			_, err := client.Upload(t.Context(), upload(io.LimitReader(zeros{}, size), size))
			if failed := failure(t, err, pandapon.Answered); failed.Envelope.Code != "401" {
				t.Fatalf("got %+v", failed)
			}
		}
	}
}
