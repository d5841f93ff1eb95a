package intake

import (
	"encoding/hex"
	"io"
	"strings"

	"github.com/voucherd/voucherd/gateway/problem"
)

// base64 decodes a member's value, a string of standard base64, into w as it arrives. Line ends
// within it are skipped and its padding may be missing; everything else must be right.
func (o *jsonReader) base64(w io.Writer) error {
	char, err := o.char()
	if err != nil {
		return err
	}
	if char != '"' {
		return problem.Invalidf("base64", "is not a string")
	}
	d := decoder{to: w}
	for {
		if _, err := o.in.Peek(1); err != nil {
			return o.cut(err)
		}
		chunk, err := o.in.Peek(o.in.Buffered())
		if err != nil {
			return o.cut(err)
		}
		n, special, err := d.run(chunk)
		if err != nil {
			return err
		}
		if _, err := o.in.Discard(n); err != nil {
			return o.cut(err)
		}
		switch special {
		case '"':
			return d.end()
		case '\\':
			if err := o.escaped(&d); err != nil {
				return err
			}
		}
	}
}

// escaped reads what follows a backslash. Many encoders write "\/" for "/".
func (o *jsonReader) escaped(d *decoder) error {
	char, err := o.in.ReadByte()
	if err != nil {
		return o.cut(err)
	}
	switch char {
	case '/':
	case 'n', 'r':
		return nil
	case 'u':
		var digits [4]byte
		if _, err := io.ReadFull(o.in, digits[:]); err != nil {
			return o.cut(err)
		}
		var code [2]byte
		if _, err := hex.Decode(code[:], digits[:]); err != nil {
			return notJSON()
		}
		if char = code[1]; code[0] != 0 {
			char = 0
		}
		if char == '\n' || char == '\r' {
			return nil
		}
	case '"', '\\', 'b', 'f', 't':
		char = 0
	default:
		return notJSON()
	}
	return d.put(char)
}

// decoder turns base64 into bytes.
type decoder struct {
	to      io.Writer
	out     []byte
	bits    uint32 // of the quantum under way
	sextets int    // in bits
	pads    int
	seen    int
	start   [5]byte // the first characters, to know a data URI by
}

const decoderBuffer = 8 << 10

// run takes characters up to a quote or backslash, which it counts among the n it took.
func (d *decoder) run(chunk []byte) (n int, special byte, err error) {
	for i, char := range chunk {
		if char == '"' || char == '\\' {
			return i + 1, char, nil
		}
		if char < ' ' {
			return 0, 0, notJSON()
		}
		if err := d.put(char); err != nil {
			return 0, 0, err
		}
	}
	return len(chunk), 0, nil
}

// put takes one character.
func (d *decoder) put(char byte) error {
	if d.seen < len(d.start) {
		d.start[d.seen] = char
	}
	d.seen++
	value, ok := sextet(char)
	switch {
	case ok && d.pads == 0:
		d.bits = d.bits<<6 | value
		if d.sextets++; d.sextets < 4 {
			return nil
		}
		d.out = append(d.out, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits)) //nolint:gosec // three bytes of 24 bits
		d.bits, d.sextets = 0, 0
		if len(d.out) >= decoderBuffer {
			return d.flush()
		}
		return nil
	case char == '=' && d.sextets >= 2 && d.sextets+d.pads < 4:
		d.pads++
		return nil
	case d.seen == len(d.start) && strings.EqualFold(string(d.start[:]), "data:"):
		return problem.Invalidf("base64", "begins with data: as a data URI does; send only what follows its comma")
	default:
		return problem.Invalidf("base64", "character %d is not one of standard base64", d.seen)
	}
}

// sextet gives the value of a character of base64.
func sextet(char byte) (uint32, bool) {
	switch {
	case char >= 'A' && char <= 'Z':
		return uint32(char - 'A'), true
	case char >= 'a' && char <= 'z':
		return uint32(char-'a') + 26, true
	case char >= '0' && char <= '9':
		return uint32(char-'0') + 52, true
	case char == '+':
		return 62, true
	case char == '/':
		return 63, true
	default:
		return 0, false
	}
}

// end takes the last quantum, which may be short.
func (d *decoder) end() error {
	switch {
	case d.sextets == 1, d.pads > 0 && d.sextets+d.pads != 4:
		return problem.Invalidf("base64", "ends in the middle")
	case d.sextets == 2:
		d.out = append(d.out, byte(d.bits>>4)) //nolint:gosec // eight of twelve bits
	case d.sextets == 3:
		d.out = append(d.out, byte(d.bits>>10), byte(d.bits>>2)) //nolint:gosec // sixteen of eighteen bits
	}
	return d.flush()
}

func (d *decoder) flush() error {
	_, err := d.to.Write(d.out)
	d.out = d.out[:0]
	return err // the spool's own
}
