package intake

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"strings"

	"github.com/voucherd/voucherd/gateway/problem"
)

// readForm takes a multipart form: the file as voucher, and the fields, in any order.
func readForm(b *Body, boundary string, u *uploadRequest) error {
	if boundary == "" {
		return &problem.Error{Kind: problem.Body, Detail: "the form's Content-Type has no boundary"}
	}
	guard := &headGuard{from: b, end: []byte("--" + boundary + "--")}
	parts := multipart.NewReader(guard, boundary)
	for {
		guard.left = maxPartHead
		part, err := parts.NextPart()
		if err == io.EOF { // a form without an end gives one that wraps io.EOF
			break
		}
		if err != nil {
			return malformed(err, "the form cannot be read, or has no end")
		}
		if err := readPart(part, guard, u); err != nil {
			return err
		}
	}
	if !guard.ended {
		return &problem.Error{Kind: problem.Body, Detail: "the form has no end"}
	}
	if !u.has("voucher") {
		return problem.Invalidf("voucher", "the form has no file of this name")
	}
	return nil
}

func readPart(part *multipart.Part, guard *headGuard, u *uploadRequest) error {
	name := part.FormName()
	if name == "voucher" {
		if err := u.first(name); err != nil {
			return err
		}
		guard.left = -1
		return copyTo(&u.voucher, part)
	}
	var value strings.Builder
	if _, err := io.Copy(&value, io.LimitReader(part, maxField+1)); err != nil {
		return malformed(err, "the form cannot be read, or has no end")
	}
	if value.Len() > maxField {
		return problem.Invalidf(name, "is too long")
	}
	return u.set(name, value.String())
}

// malformed keeps a reason that there is, and makes the rest a problem of the body.
func malformed(err error, detail string) error {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p
	}
	return &problem.Error{Kind: problem.Body, Detail: detail, Cause: err}
}

// copyTo copies a voucher by way of a small buffer. Errors of either side stay what they are, or
// become a problem of the body.
func copyTo(to *spool, from io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		got, err := from.Read(buffer)
		if _, werr := to.Write(buffer[:got]); werr != nil {
			return werr
		}
		if err == io.EOF { // a wrapped one is not the end
			return nil
		}
		if err != nil {
			return malformed(err, "the body was cut off")
		}
	}
}

// maxPartHead bounds the headers of a form's part, what stands before the first part, and a field.
// mime/multipart alone would take 10 MiB of headers into memory.
const maxPartHead = 32 << 10

// headGuard bounds what is read between two files, and sees whether the form's end came:
// mime/multipart takes a form that was cut off between two parts for a whole one.
type headGuard struct {
	from  io.Reader
	left  int // negative: no bound
	end   []byte
	ended bool
	tail  []byte // of what was read, for an end that came in two pieces
}

func (g *headGuard) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, &problem.Error{Kind: problem.Body, Detail: "the form has too much beside the voucher"}
	}
	if g.left > 0 {
		p = p[:min(len(p), g.left)]
	}
	n, err := g.from.Read(p)
	if g.left > 0 {
		g.left -= n
	}
	g.look(p[:n])
	return n, err // passed on
}

func (g *headGuard) look(p []byte) {
	most := len(g.end) - 1
	g.tail = append(g.tail, p[:min(len(p), most)]...)
	g.ended = g.ended || bytes.Contains(p, g.end) || bytes.Contains(g.tail, g.end)
	if len(p) >= most {
		g.tail = append(g.tail[:0], p[len(p)-most:]...)
	} else if len(g.tail) > most {
		g.tail = append(g.tail[:0], g.tail[len(g.tail)-most:]...)
	}
}
