package intake

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/voucherd/voucherd/gateway/problem"
)

const (
	objectBuffer = 32 << 10 // bytes of a body in memory
	maxValue     = 8 << 10  // of a member's name or value, but base64
	maxBeside    = slack    // of all members but base64
)

// jsonReader reads a JSON object member by member. It holds one small value at a time; only base64,
// which may be long, is streamed. Its errors are problems.
type jsonReader struct {
	in     *bufio.Reader
	began  bool // a member was read
	beside int  // bytes of names and values so far
	raw    []byte
}

func notJSON() error {
	return &problem.Error{Kind: problem.Body, Detail: "the body is not a JSON object, or is cut off"}
}

// openObject reads the brace that an object begins with.
func openObject(from io.Reader) (*jsonReader, error) {
	o := &jsonReader{in: bufio.NewReaderSize(from, objectBuffer)}
	char, err := o.char()
	if err != nil {
		return nil, err
	}
	if char != '{' {
		return nil, notJSON()
	}
	return o, nil
}

// char gives the next character that is not blank.
func (o *jsonReader) char() (byte, error) {
	for {
		char, err := o.in.ReadByte()
		switch {
		case err != nil:
			return 0, o.cut(err)
		case char != ' ' && char != '\t' && char != '\n' && char != '\r':
			return char, nil
		}
	}
}

// cut says why there is nothing more to read.
func (o *jsonReader) cut(err error) error {
	if errors.Is(err, io.EOF) {
		return notJSON()
	}
	return malformed(err, "the body was cut off")
}

// next gives the next member's name. At the object's end ok is false, and nothing followed it.
func (o *jsonReader) next() (name string, ok bool, err error) {
	char, err := o.char()
	if err != nil {
		return "", false, err
	}
	if char == '}' {
		return "", false, o.end()
	}
	if o.began {
		if char != ',' {
			return "", false, notJSON()
		}
		if char, err = o.char(); err != nil {
			return "", false, err
		}
	}
	o.began = true
	if char != '"' {
		return "", false, notJSON()
	}
	o.raw = append(o.raw[:0], char)
	if err = o.restOfString(); err != nil {
		return "", false, err
	}
	if name, err = unquote(o.raw); err != nil {
		return "", false, err
	}
	if char, err = o.char(); err != nil {
		return "", false, err
	}
	if char != ':' {
		return "", false, notJSON()
	}
	return name, true, nil
}

// end sees to it that only blanks follow.
func (o *jsonReader) end() error {
	for {
		char, err := o.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return o.cut(err)
		case char != ' ' && char != '\t' && char != '\n' && char != '\r':
			return &problem.Error{Kind: problem.Body, Detail: "something follows the JSON object"}
		}
	}
}

// value gives a member's value as it stands, until the next call.
func (o *jsonReader) value() (json.RawMessage, error) {
	char, err := o.char()
	if err != nil {
		return nil, err
	}
	o.raw = append(o.raw[:0], char)
	switch char {
	case '"':
		err = o.restOfString()
	case '{', '[':
		err = o.restOfNested()
	default:
		err = o.restOfWord()
	}
	if err != nil {
		return nil, err
	}
	if !json.Valid(o.raw) {
		return nil, notJSON()
	}
	return o.raw, nil
}

// more reads one character into raw.
func (o *jsonReader) more() (byte, error) {
	char, err := o.in.ReadByte()
	if err != nil {
		return 0, o.cut(err)
	}
	if o.beside++; len(o.raw) >= maxValue || o.beside > maxBeside {
		return 0, &problem.Error{Kind: problem.Body, Detail: "the body has too much beside the voucher"}
	}
	o.raw = append(o.raw, char)
	return char, nil
}

func (o *jsonReader) restOfString() error {
	for {
		char, err := o.more()
		if err != nil {
			return err
		}
		switch char {
		case '"':
			return nil
		case '\\':
			if _, err := o.more(); err != nil {
				return err
			}
		}
	}
}

func (o *jsonReader) restOfNested() error {
	for depth := 1; depth > 0; {
		char, err := o.more()
		if err != nil {
			return err
		}
		switch char {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			if err := o.restOfString(); err != nil {
				return err
			}
		}
	}
	return nil
}

// restOfWord reads a number, true, false or null.
func (o *jsonReader) restOfWord() error {
	for {
		next, err := o.in.Peek(1)
		if err != nil {
			return o.cut(err)
		}
		switch next[0] {
		case ',', '}', ' ', '\t', '\n', '\r':
			return nil
		}
		if _, err := o.more(); err != nil {
			return err
		}
	}
}

// unquote reads a JSON string.
func unquote(raw []byte) (string, error) {
	var s string
	if !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil {
		return "", notJSON()
	}
	return s, nil
}
