package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// ErrPrivate means that a receiver's name leads to an address of a private network.
var ErrPrivate = errors.New("the receiver's address is not public (VOUCHERD_WEBHOOK_ALLOW_PRIVATE allows it)")

// Webhook is where an account's events are sent.
type Webhook struct {
	Account      string
	URL          string
	Secrets      []Secret
	AllowPrivate bool // also to addresses of private networks and this machine
}

// CheckURL says what is wrong with the address of a receiver.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("is no address: write it like https://shop.example/hooks")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("must begin with https:// (or http://) and name a host")
	case u.User != nil || u.Fragment != "":
		return errors.New("must have neither user nor fragment")
	}
	return nil
}

// bodyRead is how much of an answer's body is read, so that its connection can serve again.
const bodyRead = 64 << 10

// receiver sends events to one address.
type receiver struct {
	hook   Webhook
	agent  string
	client *http.Client
}

// newReceiver gives a receiver. It uses no proxy, for a proxy would hide the address that is dialed.
func newReceiver(hook Webhook, agent string, limit time.Duration, conns int) *receiver {
	dialer := &net.Dialer{Timeout: limit}
	if !hook.AllowPrivate {
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !public(to.Addr()) {
				return ErrPrivate
			}
			return nil
		}
	}
	return &receiver{hook: hook, agent: agent, client: &http.Client{
		Timeout:       limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, MaxConnsPerHost: conns, MaxIdleConnsPerHost: conns, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: limit, MaxResponseHeaderBytes: bodyRead, ForceAttemptHTTP2: true,
		},
	}}
}

// public says whether an address is one of the Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	// Of no network, shared by carriers, for tests and documents, reserved; IPv6 that holds IPv4.
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10",
	} {
		if netip.MustParsePrefix(p).Contains(a) {
			return false
		}
	}
	return true
}

// send sends an event once. The error says why it did not arrive, without the address, which may be
// secret.
func (r *receiver) send(ctx context.Context, e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write event %s: %w", e.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.hook.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the receiver's address cannot be called")
	}
	now := time.Now()
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {r.agent}, "Webhook-Id": {e.ID},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {signature(r.hook.Secrets, e.ID, now, body)},
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, bodyRead) // the status alone counts
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("answered HTTP %d", resp.StatusCode)
	}
	return nil
}
