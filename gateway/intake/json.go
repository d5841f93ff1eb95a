package intake

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/internal/voucherjson"
)

// readJSON takes a JSON object whose base64 is the voucher, with its fields in any order. There may
// be no others.
func readJSON(from io.Reader, u *uploadRequest) error {
	if err := readObject(from, u, func(string) bool { return true }); err != nil {
		return err
	}
	if !u.has("base64") {
		return problem.Invalidf("base64", "is missing: it is the voucher, as standard base64")
	}
	return nil
}

// readCallJSON reads the body of PandaPon's upload call. Members that its page does not name are
// passed over.
func readCallJSON(from io.Reader, u *uploadRequest) error {
	if err := readObject(from, u, func(name string) bool { return name == "base64" || name == "orderId" }); err != nil {
		return err
	}
	if !u.has("base64") {
		return problem.Invalidf("base64", "is missing")
	}
	return nil
}

// readObject takes the members of a JSON object that are wanted.
func readObject(from io.Reader, u *uploadRequest, wanted func(name string) bool) error {
	o, err := voucherjson.Open(from)
	if err != nil {
		return bodyProblem(err)
	}
	for {
		name, err := o.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
		case wanted(name):
			err = readMember(o, name, u)
		default:
			_, err = o.Value()
		}
		if err != nil {
			return bodyProblem(err)
		}
	}
}

// bodyProblem words the errors of voucherjson for a caller, and keeps others.
func bodyProblem(err error) error {
	var detail string
	switch {
	case errors.Is(err, voucherjson.ErrSyntax):
		detail = "the body is not a JSON object, or is cut off"
	case errors.Is(err, voucherjson.ErrTrailing):
		detail = "something follows the JSON object"
	case errors.Is(err, voucherjson.ErrTooMuch):
		detail = "the body has too much beside the voucher"
	default:
		return err
	}
	return &problem.Error{Kind: problem.Body, Detail: detail}
}

func readMember(o *voucherjson.Object, name string, u *uploadRequest) error {
	if name == "base64" {
		if err := u.first(name); err != nil {
			return err
		}
		text, err := o.Text()
		if err != nil {
			return err
		}
		if text == nil {
			return problem.Invalidf("base64", "is not a string")
		}
		return decodeBase64(&u.voucher, text)
	}
	raw, err := o.Value()
	if err != nil {
		return err
	}
	value, err := memberText(name, raw)
	if err != nil {
		return err
	}
	return u.set(name, value)
}

// memberText gives a member's value as the text that set takes.
func memberText(name string, raw json.RawMessage) (string, error) {
	flag := name == "again" || name == "replace"
	switch {
	case string(raw) == "null":
		return "", nil
	case flag && (string(raw) == "true" || string(raw) == "false"):
		return string(raw), nil
	case flag:
		return "", problem.Invalidf(name, "is neither true nor false")
	case raw[0] == '"':
		var s string
		if !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil {
			return "", voucherjson.ErrSyntax
		}
		return s, nil
	case name == "orderId" && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		return "", problem.Invalidf(name, "is a number: send it as a string, in quotes, for a JSON number of 19 digits loses some of them")
	default:
		return "", problem.Invalidf(name, "is not a string")
	}
}

// decodeBase64 decodes standard base64 as it arrives. Line ends within it are skipped and its
// padding may be missing; everything else must be right.
func decodeBase64(to *spool, text io.Reader) error {
	var head [5]byte
	n, _ := io.ReadFull(text, head[:]) // an error comes again
	if strings.EqualFold(string(head[:n]), "data:") {
		return problem.Invalidf("base64", "begins with data: as a data URI does; send only what follows its comma")
	}
	whole := &padded{text: io.MultiReader(bytes.NewReader(head[:n]), text)}
	err := copyTo(to, base64.NewDecoder(base64.StdEncoding, whole))
	var corrupt base64.CorruptInputError
	switch {
	case errors.As(err, &corrupt):
		return problem.Invalidf("base64", "is not standard base64")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem.Invalidf("base64", "ends in the middle")
	}
	return err
}

// padded adds the padding that base64 text lacks.
type padded struct {
	text  io.Reader
	chars int // so far, but line ends
	last  byte
}

func (p *padded) Read(b []byte) (int, error) {
	n, err := p.text.Read(b)
	p.chars += n - bytes.Count(b[:n], []byte{'\n'})
	if n > 0 && b[n-1] != '\n' {
		p.last = b[n-1]
	}
	if n == 0 && errors.Is(err, io.EOF) && p.chars%4 >= 2 && p.last != '=' {
		p.text = strings.NewReader("=="[p.chars%4-2:])
		return p.Read(b)
	}
	return n, err // io.EOF must stay bare
}
