package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"hash/crc32"
)

// sums takes both of a voucher's checksums while it is put.
type sums struct {
	sha, crc hash.Hash
	size     int64
}

func newSums() *sums { return &sums{sha: sha256.New(), crc: newCRC()} }

func newCRC() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// Write takes the next bytes. It cannot fail.
func (s *sums) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	s.sha.Write(p)
	return s.crc.Write(p)
}

// describe gives size and checksums of a voucher that is kept elsewhere than in a blob store.
func describe(voucher []byte) Entry {
	sum := newSums()
	_, _ = sum.Write(voucher) // it takes everything
	return sum.entry("")
}

// entry is what has been written, under a key.
func (s *sums) entry(key string) Entry {
	return Entry{
		Key: key, Size: s.size, SHA256: hex.EncodeToString(s.sha.Sum(nil)), CRC32C: hex.EncodeToString(s.crc.Sum(nil)),
	}
}
