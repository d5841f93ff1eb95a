package main

import (
	"fmt"
	"math/rand/v2"
)

// voucher makes the bytes of a voucher: a JPEG by its first bytes, noise behind them. The same size gives the same.
func voucher(size int) []byte {
	b := make([]byte, size)
	noise := rand.NewChaCha8([32]byte{1})
	_, _ = noise.Read(b) // never fails
	copy(b, "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
	return b
}

// orderID gives the order of an upload: 19 digits, as PandaPon's have.
func orderID(i int) string { return fmt.Sprintf("7%018d", i) }
