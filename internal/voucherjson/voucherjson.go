// Package voucherjson reads JSON objects that hold a voucher as base64, such as PandaPon's upload
// call, in memory that does not grow with the voucher.
package voucherjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// MostBeside bounds what an object holds before the voucher, and after it: names and values of
// other members need far less.
const MostBeside = 64 << 10

// The errors of an Object. Those of its reader are passed on too.
var (
	ErrSyntax   = errors.New("not a JSON object, or cut off")
	ErrTrailing = errors.New("something follows the JSON object")
	ErrTooMuch  = errors.New("too much beside the voucher")
)

// NotBase64 stands for a character of a string that base64 does not have.
const NotBase64 = '!'

// Object is a JSON object that is read member by member. Not safe for concurrent use.
type Object struct {
	from io.Reader // the body, behind what tokens has read of it
	// tokens reads all but the voucher. After it a new decoder goes on; it is given a beginning
	// that leads to the same place.
	tokens *json.Decoder
	text   *text // the voucher, when it is being read
}

// Open reads the brace that an object begins with.
func Open(from io.Reader) (*Object, error) {
	o := &Object{}
	return o, o.resume("", from)
}

// resume lets a new decoder read on, as if begin had been read before. The brace is its first
// token.
func (o *Object) resume(begin string, from io.Reader) error {
	o.from = from
	o.tokens = json.NewDecoder(io.MultiReader(strings.NewReader(begin), &bounded{from: from, left: MostBeside}))
	if brace, err := o.tokens.Token(); err != nil || brace != json.Delim('{') {
		return syntax(err)
	}
	return nil
}

// Next gives the name of the next member, whose value Value or Text must read. At the object's end
// it gives io.EOF.
func (o *Object) Next() (name string, err error) {
	if o.text != nil {
		if err = o.endText(); err != nil {
			return "", err
		}
	}
	token, err := o.tokens.Token()
	if name, ok := token.(string); ok {
		return name, nil
	}
	if err != nil {
		return "", syntax(err)
	}
	// It was the closing brace.
	if _, err = o.tokens.Token(); errors.Is(err, io.EOF) {
		return "", io.EOF
	}
	return "", ErrTrailing
}

// Value gives a member's value as it stands.
func (o *Object) Value() (json.RawMessage, error) {
	var raw json.RawMessage
	if err := o.tokens.Decode(&raw); err != nil {
		return nil, syntax(err)
	}
	return raw, nil
}

// Text gives the characters of a member's value, a string of any length, until Next is called; what
// base64 does not have may become NotBase64. It is nil for a value that is no string: Value has it.
func (o *Object) Text() (io.Reader, error) {
	in := bufio.NewReaderSize(io.MultiReader(o.tokens.Buffered(), o.from), 32<<10)
	if err := expect(in, ':'); err != nil {
		return nil, err
	}
	if expect(in, '"') == nil {
		o.text = &text{in: in}
		return o.text, nil
	}
	if err := o.resume(`{"":`, in); err != nil {
		return nil, err
	}
	_, err := o.tokens.Token() // the name
	return nil, err
}

// endText reads on behind the voucher.
func (o *Object) endText() error {
	if _, err := io.Copy(io.Discard, o.text); err != nil {
		return err
	}
	in := o.text.in
	o.text = nil
	if err := o.resume(`{"":0`, in); err != nil {
		return err
	}
	if _, err := o.tokens.Token(); err != nil { // the name
		return syntax(err)
	}
	_, err := o.Value()
	return err
}

// syntax words the errors of the decoder.
func syntax(err error) error {
	if errors.Is(err, ErrTooMuch) {
		return ErrTooMuch
	}
	return ErrSyntax
}

// expect reads blanks and then char, or nothing but the blanks.
func expect(in *bufio.Reader, char byte) error {
	for {
		got, err := in.ReadByte()
		switch {
		case err != nil:
			return ErrSyntax
		case got == char:
			return nil
		case got != ' ' && got != '\t' && got != '\n' && got != '\r':
			_ = in.UnreadByte() // it was just read
			return ErrSyntax
		}
	}
}

// bounded is a reader that fails once too much was read.
type bounded struct {
	from io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrTooMuch
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err // passed on
}

// text is a string's characters up to its closing quote, which it consumes.
type text struct {
	in    *bufio.Reader
	ended bool
}

// Read gives io.EOF behind the quote.
func (t *text) Read(p []byte) (int, error) {
	if t.ended {
		return 0, io.EOF
	}
	if _, err := t.in.Peek(1); err != nil {
		return 0, ErrSyntax
	}
	chunk, _ := t.in.Peek(min(len(p), t.in.Buffered())) // buffered: no error
	n := bytes.IndexAny(chunk, "\"\\\r\n")
	switch {
	case n < 0:
		n = len(chunk)
	case n == 0 && chunk[0] == '"':
		t.ended = true
		_, _ = t.in.Discard(1) // buffered
		return 0, io.EOF
	case n == 0 && chunk[0] == '\\':
		char, err := t.escaped()
		p[0] = char
		return 1, err
	case n == 0:
		return 0, ErrSyntax // a line end must be escaped
	}
	copy(p, chunk[:n])
	_, err := t.in.Discard(n)
	return n, err
}

// escaped reads an escape. Of those that base64 can hold, PHP writes \/ and .NET \u002B.
func (t *text) escaped() (byte, error) {
	var escape [2]byte
	if _, err := io.ReadFull(t.in, escape[:]); err != nil {
		return 0, ErrSyntax
	}
	switch escape[1] {
	case '/':
		return '/', nil
	case 'n', 'r':
		return '\n', nil
	case '"', '\\', 'b', 'f', 't':
		return NotBase64, nil
	case 'u':
		var digits [4]byte
		if _, err := io.ReadFull(t.in, digits[:]); err != nil {
			return 0, ErrSyntax
		}
		code, err := strconv.ParseUint(string(digits[:]), 16, 16)
		switch {
		case err != nil:
			return 0, ErrSyntax
		case code == '\n', code == '\r':
			return '\n', nil
		case code <= ' ' || code > '~':
			return NotBase64, nil
		}
		return byte(code), nil
	}
	return 0, ErrSyntax
}
