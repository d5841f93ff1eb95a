package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// verified passes src on and gives the last bytes only when all of them are known to be the
// voucher's. It needs no buffer: the read that would reach the end gives nothing if anything is
// wrong.
type verified struct {
	src   io.ReadCloser
	entry Entry
	sum   hash.Hash
	want  string // of sum, in hex
	seen  int64
	err   error // what every further Read returns
}

func newVerified(src io.ReadCloser, e Entry) *verified {
	v := &verified{src: src, entry: e, sum: sha256.New(), want: e.SHA256}
	if e.CRC32C != "" {
		v.sum, v.want = newCRC(), e.CRC32C
	}
	return v
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil || len(p) == 0 {
		return 0, v.err
	}
	n, err := v.src.Read(p)
	v.sum.Write(p[:n])
	v.seen += int64(n)
	if err == nil && v.seen == v.entry.Size {
		err = v.atEnd()
	}
	if err == nil && v.seen < v.entry.Size {
		return n, nil
	}
	if v.err = v.outcome(err); v.err != io.EOF { //nolint:errorlint // The end is plain io.EOF.
		return 0, v.err
	}
	if n > 0 {
		return n, nil // The end comes with the next Read.
	}
	return 0, io.EOF
}

// outcome turns how src ended, or that it goes on too long, into what the caller gets: io.EOF only
// for the whole voucher.
func (v *verified) outcome(err error) error {
	switch {
	case err != nil && err != io.EOF: //nolint:errorlint // A network's error may wrap io.EOF and is not the end.
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %s", io.ErrUnexpectedEOF, err.Error())
		}
		return err
	case err == nil, v.seen != v.entry.Size, hex.EncodeToString(v.sum.Sum(nil)) != v.want:
		return fmt.Errorf("%w: %s is not what was put (%d bytes seen, %d expected)",
			ErrDamaged, v.entry.Key, v.seen, v.entry.Size)
	default:
		return io.EOF
	}
}

// atEnd reads on for one byte: io.EOF means that src ends where it should.
func (v *verified) atEnd() error {
	var surplus [1]byte
	for {
		n, err := v.src.Read(surplus[:])
		v.seen += int64(n)
		if n > 0 || err != nil {
			return err
		}
	}
}

func (v *verified) Close() error { return v.src.Close() }
