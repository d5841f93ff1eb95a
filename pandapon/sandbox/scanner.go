package sandbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// maxRest bounds the JSON beside the voucher: an order id needs far less.
const maxRest = 64 << 10

// scanner walks a JSON text just far enough to find the string of the top-level key "base64". That
// string is decoded as it passes; all else is kept in rest, with an empty string in its place, for
// encoding/json to judge.
type scanner struct {
	in        *bufio.Reader
	rest      bytes.Buffer
	overflow  bool
	sum       hash.Hash
	size      int64
	vouchers  int
	notBase64 bool

	depth   int
	inValue bool   // behind a colon of the outermost object
	key     []byte // the outermost object's latest key, with its quotes
}

func newScanner(r io.Reader) *scanner {
	return &scanner{in: bufio.NewReaderSize(r, 32<<10), sum: sha256.New()}
}

// run reads to the end of the body. An error means that it did not arrive whole; nonsense that did
// arrive whole is none.
func (s *scanner) run() error {
	for {
		char, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.keep(char)
		switch char {
		case '{', '[':
			s.depth++
		case '}', ']':
			s.depth--
		case ':':
			s.inValue = s.inValue || s.depth == 1
		case ',':
			s.inValue = s.inValue && s.depth != 1
		case '"':
			err = s.readString()
		}
		if err != nil {
			return err
		}
	}
}

// readString reads on from an opening quote.
func (s *scanner) readString() error {
	if s.depth == 1 && s.inValue && string(s.key) == `"base64"` {
		s.vouchers++
		s.keep('"')
		return s.decodeVoucher(&stringReader{in: s.in})
	}
	start := s.rest.Len() - 1
	escaped := false
	for {
		char, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil // arrived whole, though no JSON
		}
		if err != nil {
			return err
		}
		s.keep(char)
		if char == '"' && !escaped {
			break
		}
		escaped = char == '\\' && !escaped
	}
	if s.depth == 1 && !s.inValue && !s.overflow {
		s.key = append(s.key[:0], s.rest.Bytes()[start:]...)
	}
	return nil
}

func (s *scanner) keep(char byte) {
	if s.rest.Len() == maxRest {
		s.overflow = true
		return
	}
	s.rest.WriteByte(char)
}
