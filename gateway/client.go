package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// clientOf gives the address that a request came from, whether it came by HTTPS, and whether
// anything says that it was forwarded. What a header says counts only from a trusted proxy.
func (g *Gateway) clientOf(r *http.Request) (client netip.Addr, secure, proxied bool) {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		client = ap.Addr().Unmap().WithZone("")
	}
	secure = r.TLS != nil
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", "Via"} {
		proxied = proxied || r.Header.Get(name) != ""
	}
	if !g.trusts(client) {
		return client, secure, proxied
	}
	secure = secure || strings.EqualFold(last(r.Header.Values("X-Forwarded-Proto")), "https")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && g.trusts(client); i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = hop
	}
	return client, secure, proxied
}

func (g *Gateway) trusts(a netip.Addr) bool {
	for _, p := range g.cfg.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseHop reads an address that may come with a port.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}

// last gives the last element of a list header: the one that the nearest proxy wrote.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	v := values[len(values)-1]
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// local says whether a request was meant for this machine: its Host is a loopback name or address,
// so that no foreign name that was made to point here (DNS rebinding) gets an answer, and no proxy
// brought it.
func (entry *accessLog) local() bool {
	host := entry.request.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	addr, err := netip.ParseAddr(host)
	named := host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.IsLoopback()
	return named && !entry.proxied && (!entry.client.IsValid() || entry.client.IsLoopback())
}
