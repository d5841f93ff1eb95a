package pandapon_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

func pool(server *httptest.Server) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(server.Certificate())
	return p
}

func TestDial(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(answer(http.StatusOK, success))
	t.Cleanup(server.Close)
	client := newClient(t, "http://api.invalid:81", func(cfg *pandapon.Config) {
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "api.invalid:81" {
				t.Errorf("dials %s", addr)
			}
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		}
	})
	if _, err := client.Upload(t.Context(), uploadOf(picture(10))); err != nil {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(answer(http.StatusOK, success))
	server.Config.ErrorLog = discardLog()
	server.StartTLS()
	t.Cleanup(server.Close)
	trusting := newClient(t, server.URL)
	trusting.Trust(pool(server))
	if _, err := trusting.Upload(t.Context(), uploadOf(picture(100_000))); err != nil {
		t.Errorf("trusted: %v", err)
	}
	_, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(10)))
	var unknown x509.UnknownAuthorityError
	if failure(t, err, pandapon.NotSent); !errors.As(err, &unknown) {
		t.Errorf("unknown authority: %v", err)
	}
	plain := serve(t, answer(http.StatusOK, success))
	_, err = newClient(t, strings.Replace(plain.URL, "http:", "https:", 1)).Upload(t.Context(), uploadOf(picture(10)))
	failure(t, err, pandapon.NotSent)
	hung := listen(t, (*peer).hang)
	_, err = newClient(t, strings.Replace(hung.URL, "http:", "https:", 1), within(short)).Upload(t.Context(), uploadOf(picture(10)))
	failure(t, err, pandapon.NotSent)
	reset := listen(t, (*peer).reset)
	_, err = newClient(t, strings.Replace(reset.URL, "http:", "https:", 1)).Upload(t.Context(), uploadOf(picture(10)))
	failure(t, err, pandapon.NotSent)
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err = listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = newClient(t, "http://"+listener.Addr().String()).Upload(t.Context(), uploadOf(picture(10)))
	if failed := failure(t, err, pandapon.NotSent); !errors.Is(err, syscall.ECONNREFUSED) || failed.HTTPStatus != 0 {
		t.Errorf("got %v", err)
	}
}

func TestUnknownHost(t *testing.T) {
	t.Parallel()
	client := newClient(t, "http://no-such-host.invalid", within(5*time.Second))
	client.Direct()
	_, err := client.Upload(t.Context(), uploadOf(picture(10)))
	failure(t, err, pandapon.NotSent)
}

func TestThroughAProxy(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(answer(http.StatusOK, success))
	t.Cleanup(server.Close)
	tunnel := listen(t, func(p *peer) {
		if r := p.head(); r == nil || r.Method != http.MethodConnect {
			return
		}
		var dialer net.Dialer
		out, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			return
		}
		p.say("HTTP/1.1 200 Connected\r\n\r\n")
		back := make(chan struct{})
		go func() {
			defer close(back)
			_, _ = io.Copy(p.TCPConn, out)
			_ = p.Close()
		}()
		_, _ = io.Copy(out, p.in)
		_ = out.Close()
		<-back
	})
	refusing := listen(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
	})
	attempt := func(proxy *line) error {
		client := newClient(t, server.URL)
		client.Trust(pool(server))
		u, err := url.Parse(strings.Replace(proxy.URL, "//", "//user:"+testSecret+"@", 1))
		if err != nil {
			t.Fatal(err)
		}
		client.Via(u)
		_, err = client.Upload(t.Context(), uploadOf(picture(100_000)))
		return err
	}
	if err := attempt(tunnel); err != nil {
		t.Errorf("tunnel: %v", err)
	}
	if err := attempt(refusing); !strings.Contains(failure(t, err, pandapon.NotSent).Err.Error(), "Proxy Authentication Required") {
		t.Errorf("refusing proxy: %v", err)
	}
}
