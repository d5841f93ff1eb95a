package sandbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// body is what was read of a request. Bytes are counted and hashed, not kept.
type body struct {
	orderID  string
	sha256   string
	size     int64
	complete bool
	problem  *refusal
}

// readAny reads a body of any kind.
func readAny(r io.Reader) body {
	sum := sha256.New()
	size, err := io.Copy(sum, r)
	b := body{sha256: hex.EncodeToString(sum.Sum(nil)), size: size, complete: err == nil}
	if err != nil {
		b.problem = cutOffBody()
	}
	return b
}

// readVoucher reads {"base64":"…","orderId":"…"} to its end, whatever is wrong with it. Its memory
// does not grow with the voucher.
func readVoucher(r io.Reader) body {
	scan := newScanner(r)
	err := scan.run()
	b := body{size: scan.size, complete: err == nil}
	if b.complete && scan.vouchers == 1 && !scan.notBase64 {
		b.sha256 = hex.EncodeToString(scan.sum.Sum(nil))
	}
	var fields map[string]json.RawMessage
	parseErr := json.Unmarshal(scan.rest.Bytes(), &fields)
	orderErr := json.Unmarshal(fields["orderId"], &b.orderID)
	switch {
	case err != nil:
		b.problem = cutOffBody()
	case scan.overflow:
		b.problem = refuse(http.StatusBadRequest, CodeBadBody, "the fields beside base64 are too large")
	case parseErr != nil || fields == nil:
		b.problem = refuse(http.StatusBadRequest, CodeBadBody, "the body is not a JSON object")
	case scan.vouchers == 0:
		b.problem = refuse(http.StatusBadRequest, CodeBadVoucher, "base64 is missing or not a string")
	case scan.vouchers > 1:
		b.problem = refuse(http.StatusBadRequest, CodeBadVoucher, "base64 stands there twice")
	case scan.notBase64:
		b.problem = refuse(http.StatusBadRequest, CodeBadVoucher, "base64 is not base64")
	case scan.size == 0:
		b.problem = refuse(http.StatusBadRequest, CodeBadVoucher, "base64 is empty")
	case orderErr != nil || b.orderID == "":
		b.problem = refuse(http.StatusBadRequest, CodeBadOrderID, "orderId is missing, empty or not a string")
	}
	return b
}

func cutOffBody() *refusal {
	return refuse(http.StatusBadRequest, CodeBadBody, "the body did not arrive whole")
}

// decodeVoucher decodes the base64 string that text gives, hashes it into s, and reads text to its
// end.
func (s *scanner) decodeVoucher(text *stringReader) error {
	decoded := base64.NewDecoder(base64.StdEncoding.Strict(), text)
	size, err := io.Copy(s.sum, decoded)
	s.size += size
	if err != nil || text.odd {
		s.notBase64 = true
	}
	_, err = io.Copy(io.Discard, text)
	return err
}

// stringReader gives the characters of a JSON string up to its closing quote, which it consumes, or
// to the end of the body. It knows the escapes that base64 text may hold: PHP writes \/ and .NET
// \u002B.
type stringReader struct {
	in  *bufio.Reader
	odd bool // line breaks were seen, which the base64 decoder lets pass
	err error
}

func (t *stringReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	if _, t.err = t.in.Peek(1); t.err != nil {
		return 0, t.err
	}
	text, _ := t.in.Peek(min(len(p), t.in.Buffered())) // buffered: no error
	if end := bytes.IndexAny(text, `"\`); end >= 0 {
		text = text[:end]
	}
	if len(text) == 0 {
		p[0], t.err = t.readMark()
		if t.err != nil {
			return 0, t.err
		}
		return 1, nil
	}
	n := copy(p, text)
	t.odd = t.odd || bytes.ContainsAny(text, "\r\n")
	_, t.err = t.in.Discard(n)
	return n, t.err
}

// notInBase64 stands for a character that no base64 text holds.
const notInBase64 = '!'

// readMark reads an escape; for a closing quote it gives io.EOF.
func (t *stringReader) readMark() (byte, error) {
	mark, err := t.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if mark == '"' {
		return 0, io.EOF
	}
	kind, err := t.in.ReadByte()
	if err != nil {
		return 0, err
	}
	switch kind {
	case '/':
		return '/', nil
	case 'u':
		return t.readCodePoint()
	default:
		return notInBase64, nil
	}
}

func (t *stringReader) readCodePoint() (byte, error) {
	var digits [4]byte
	for i := range digits {
		char, err := t.in.ReadByte()
		if err != nil {
			return 0, err
		}
		digits[i] = char
	}
	code, err := strconv.ParseUint(string(digits[:]), 16, 16)
	if err != nil || code <= ' ' || code > '~' {
		return notInBase64, nil //nolint:nilerr // the base64 decoder refuses it
	}
	return byte(code), nil
}
