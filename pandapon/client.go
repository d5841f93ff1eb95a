package pandapon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	defaultCallTimeout = 60 * time.Second
	defaultMaxConns    = 16 // the worker's default concurrency
	defaultUserAgent   = "voucherd"

	connectTimeout = 10 * time.Second // a lost SYN is sent again after 1, 3 and 7 s
	tlsTimeout     = 10 * time.Second
	idleTimeout    = 30 * time.Second // below what usual proxies keep, so that we hang up first
	maxHeaderBytes = 64 << 10
	sendBuffer     = 32 << 10 // fewer system calls than the default 4 KiB
)

// Config says where the API is and how to talk to it. The zero value is the
// documented API.
type Config struct {
	BaseURL     string // scheme, host and perhaps a path; "" is DefaultBaseURL
	UploadPath  string // "" is DefaultUploadPath
	Rule        SignRule
	CallTimeout time.Duration // for a whole call, connecting included; 0 is 60 s
	UserAgent   string        // "" is "voucherd"
	MaxConns    int           // idle connections kept; 0 is 16. Make it the concurrency
	Now         func() time.Time

	// Dial opens connections, to a proxy where there is one; nil: as net.Dialer does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client calls the API. It is safe for concurrent use.
type Client struct {
	base        string // without a slash at its end
	uploadPath  string
	rule        SignRule
	callTimeout time.Duration
	userAgent   string
	now         func() time.Time
	transport   *http.Transport
	chunks      sync.Pool // of *chunk
}

// NewClient checks cfg and reports every fault of it. It does not connect.
// Proxies are taken from the environment, as everywhere in Go.
func NewClient(cfg Config) (*Client, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.UploadPath == "" {
		cfg.UploadPath = DefaultUploadPath
	}
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = defaultCallTimeout
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = defaultMaxConns
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = defaultUserAgent
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Client{
		base:        strings.TrimRight(cfg.BaseURL, "/"),
		uploadPath:  cfg.UploadPath,
		rule:        cfg.Rule,
		callTimeout: cfg.CallTimeout,
		userAgent:   cfg.UserAgent,
		now:         cfg.Now,
		transport:   newTransport(cfg),
	}, nil
}

func (cfg Config) check() error {
	var faults []error
	fault := func(err error) { faults = append(faults, err) }
	// The parser's own error would quote the address, and with it a password.
	switch u, err := url.Parse(cfg.BaseURL); {
	case err != nil:
		fault(errors.New("base URL: not a URL"))
	case u.Scheme != "http" && u.Scheme != "https":
		fault(errors.New("base URL: begin it with https:// or http://"))
	case u.Hostname() == "":
		fault(errors.New("base URL: the host is missing"))
	case u.User != nil:
		fault(errors.New("base URL: leave out user and password"))
	case strings.ContainsAny(cfg.BaseURL, "?#"):
		fault(errors.New("base URL: leave out query and fragment"))
	}
	if err := checkPath(cfg.UploadPath); err != nil {
		fault(fmt.Errorf("upload path: %w", err))
	}
	if err := cfg.Rule.Validate(); err != nil {
		fault(fmt.Errorf("sign rule: %w", err))
	}
	if cfg.CallTimeout < 0 {
		fault(errors.New("call timeout: below zero"))
	}
	if cfg.MaxConns < 0 {
		fault(errors.New("connections: below zero"))
	}
	if !printable(cfg.UserAgent) {
		fault(errors.New("user agent: use printable ASCII"))
	}
	return errors.Join(faults...)
}

func checkPath(path string) error {
	if !strings.HasPrefix(path, "/") {
		return errors.New("begin it with a slash")
	}
	if strings.ContainsAny(path, "?#") {
		return errors.New("leave out query and fragment")
	}
	if _, err := url.ParseRequestURI(path); err != nil {
		return errors.New("not a URL path")
	}
	return nil
}

// printable tells whether s can be sent as a header's value.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func newTransport(cfg Config) *http.Transport {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: min(connectTimeout, cfg.CallTimeout), KeepAlive: idleTimeout}).DialContext
	}
	// One request a connection: then a broken connection tells about this one
	// request whether it went out whole.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return newWire(conn), nil
		},
		Protocols:              protocols,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    min(tlsTimeout, cfg.CallTimeout),
		ResponseHeaderTimeout:  cfg.CallTimeout / 4 * 3, // leaves time to read the answer
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           cfg.MaxConns,
		MaxIdleConnsPerHost:    cfg.MaxConns,
		MaxResponseHeaderBytes: maxHeaderBytes,
		WriteBufferSize:        sendBuffer,
		DisableCompression:     true, // answers are small: ask for nothing packed
	}
}

// proxy is http.ProxyFromEnvironment without the proxy's password in its error.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy set in the environment is not a URL")
	}
	return u, nil
}

// Close closes idle connections. Calls under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
