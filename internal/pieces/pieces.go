// Package pieces cuts voucher bytes into elements of a Redis list, so that Redis wastes little
// memory on them.
package pieces

import "math/bits"

const (
	// overhead is what Redis puts around a list element of its own node: listpack header and end (7
	// bytes), length before (5) and after (up to 5).
	overhead = 24
	// Most is the longest element, in bytes. With its overhead it fills an allocation of 128 KiB
	// exactly.
	Most = 128<<10 - overhead
	// wasteLimit is how many unused bytes at the end of an allocation are worth less than a further
	// list node.
	wasteLimit = 512
)

// Cut divides bytes into list elements, at least one, which share their memory.
func Cut(b []byte) [][]byte {
	var all [][]byte
	for len(b) > 0 || len(all) == 0 {
		n := size(min(len(b), Most))
		all = append(all, b[:n])
		b = b[n:]
	}
	return all
}

// size says how much of the last n bytes go into one element. Redis takes memory in sizes that are
// a quarter of a doubling apart (jemalloc), up to a fifth more than needed; pieces that fill theirs
// keep a voucher near its own size. Readers do not depend on it.
func size(n int) int {
	need := n + overhead
	step := 1 << max(bits.Len(uint(need))-3, 0)
	down := need / step * step
	if down == need || down+step-need <= wasteLimit || down <= overhead {
		return n
	}
	return down - overhead
}
