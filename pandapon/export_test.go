package pandapon

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ParseRetryAfter lets tests read headers without a server.
func ParseRetryAfter(value string, date, now time.Time) (time.Duration, bool) {
	return parseRetryAfter(value, date, now)
}

// Trust lets a client accept a test server's certificate.
func (c *Client) Trust(roots *x509.CertPool) { c.transport.TLSClientConfig.RootCAs = roots }

// Direct keeps a client from the proxies of the machine the test runs on.
func (c *Client) Direct() { c.transport.Proxy = nil }

// Via sends a client through a proxy.
func (c *Client) Via(proxy *url.URL) { c.transport.Proxy = http.ProxyURL(proxy) }

// Ask returns a client's choice of proxy for a request.
func (c *Client) Ask(r *http.Request) error {
	_, err := c.transport.Proxy(r)
	return err
}

// Under puts a connection of the test's own below what the client knows of it.
func (c *Client) Under(wrap func(net.Conn) net.Conn) {
	c.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newWire(wrap(conn)), nil
	}
}
