package pandapon

import (
	"encoding/base64"
	"encoding/binary"
)

// pairs holds the two base64 characters of every 12 bits, the first in the low
// byte. Two look-ups for three bytes take half the time of encoding/base64,
// which was the largest single cost of sending a voucher.
var pairs = func() (t [1 << 12]uint16) { //nolint:gochecknoglobals // a constant table
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = uint16(letters[i>>6]) | uint16(letters[i&63])<<8
	}
	return t
}()

// encodeBase64 writes src to dst as base64.StdEncoding does, and gives the
// length. dst must have room for whole groups of four.
func encodeBase64(dst, src []byte) int {
	n := 0
	for len(src) >= 8 { // reads eight bytes, uses six
		v := binary.BigEndian.Uint64(src)
		d := dst[n : n+8]
		binary.LittleEndian.PutUint64(d, uint64(pairs[v>>52])|uint64(pairs[v>>40&0xfff])<<16|
			uint64(pairs[v>>28&0xfff])<<32|uint64(pairs[v>>16&0xfff])<<48)
		src, n = src[6:], n+8
	}
	base64.StdEncoding.Encode(dst[n:], src)
	return n + base64.StdEncoding.EncodedLen(len(src))
}
