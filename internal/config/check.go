package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// crossCheck looks at settings that only make sense together. Those that could not be read are left
// out: their own fault stands already.
func (l *loader) crossCheck() {
	c := &l.cfg
	if c.Worker.ShutdownTimeout == 0 {
		c.Worker.ShutdownTimeout = c.Worker.CallTimeout + c.Worker.CallTimeout/4
	}
	if l.both("VOUCHERD_CALL_TIMEOUT", "VOUCHERD_SHUTDOWN_TIMEOUT") && c.Worker.ShutdownTimeout <= c.Worker.CallTimeout {
		l.fault(l.name("VOUCHERD_SHUTDOWN_TIMEOUT"),
			"%s is not longer than the call timeout of %s, so stopping could cut a call that would have finished",
			c.Worker.ShutdownTimeout, c.Worker.CallTimeout)
	}
	for _, pair := range []struct {
		low, high  string
		least, top time.Duration
	}{
		{"VOUCHERD_RETRY_AFTER_MIN", "VOUCHERD_RETRY_AFTER_MAX", c.Policy.RetryAfterMin, c.Policy.RetryAfterMax},
		{"VOUCHERD_OUTAGE_BASE", "VOUCHERD_OUTAGE_MAX", c.Ledger.Breaker.OutageBase, c.Ledger.Breaker.OutageMax},
		{"VOUCHERD_PROBE_BASE", "VOUCHERD_PROBE_MAX", c.Ledger.Breaker.ProbeBase, c.Ledger.Breaker.ProbeMax},
		{"VOUCHERD_BEAT_EVERY", "VOUCHERD_DEAD_AFTER", c.Worker.BeatEvery, c.Worker.DeadAfter},
		{"VOUCHERD_THROTTLE_BASE", "VOUCHERD_THROTTLE_MAX", c.Ledger.Breaker.ThrottleBase, c.Ledger.Breaker.ThrottleMax},
	} {
		if l.both(pair.low, pair.high) && pair.top < pair.least {
			l.fault(l.name(pair.high), "%s is shorter than %s (%s)", pair.top, l.name(pair.low), pair.least)
		}
	}
	if l.given("VOUCHERD_MEDIA_TYPES") && l.good["VOUCHERD_MEDIA_TYPES"] && len(c.MediaTypes) == 0 {
		l.fault(l.name("VOUCHERD_MEDIA_TYPES"), "the list is empty, so nothing would be accepted")
	}
}

// both says whether both settings belong to the command and could be read.
func (l *loader) both(a, b string) bool { return l.good[a] && l.good[b] }

// plainHTTP says whether an address sends vouchers and signatures unencrypted over a network that
// others may read.
func plainHTTP(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast()
	}
	// A name without a dot is one of the machine's own network: localhost, or a service of a
	// compose file.
	return strings.Contains(host, ".") && !strings.HasSuffix(host, ".localhost") && !strings.HasSuffix(host, ".internal")
}
