package blob

import "io"

// The sizes, in bytes, up to which a voucher of the Redis store travels with
// the ledger's own calls instead of calls of its own.
const (
	PrepareMost = chunkSize
	BringMost   = 64 << 10
)

// Prepare gives the entry of a small voucher and the pieces to store for it,
// which share data's memory. Nothing is stored: whoever records the upload
// does that in the same step, so no unclaimed voucher can be left behind.
func (v *Redis) Prepare(account string, data []byte) (Entry, [][]byte, error) {
	p, err := newPlace(account)
	if err != nil {
		return Entry{}, nil, err
	}
	sum := newSums()
	_, _ = sum.Write(data) // it takes everything
	return sum.entry(p.key), cut(data), nil
}

// Brought is Open for a voucher whose pieces were read already.
func (v *Redis) Brought(e Entry, pieces []string) io.ReadCloser {
	return newVerified(&redisReader{key: e.Key, pieces: pieces, ended: true}, e)
}

// cut divides a chunk into list elements.
func cut(chunk []byte) [][]byte {
	var pieces [][]byte
	for len(chunk) > 0 || len(pieces) == 0 {
		n := pieceSize(min(len(chunk), pieceMost))
		pieces = append(pieces, chunk[:n])
		chunk = chunk[n:]
	}
	return pieces
}
