package events

import (
	"net/netip"
	"testing"
)

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "::1": false,
		"fe80::1": false, "fd00::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false,
		"2002:7f00:1::": false, "::": false, "198.18.0.1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestAddressesOfReceivers(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://shop.example/hooks?x=1": true, "http://shop.example": true, "shop.example": false, "ftp://shop.example": false,
		"https://user:pass@shop.example": false, "https://": false, "https://shop.example/#a": false, "https://shop.example/%zz": false,
	} {
		if err := CheckURL(address); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}
