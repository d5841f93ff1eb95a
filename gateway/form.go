package gateway

import (
	"errors"
	"io"
	"mime/multipart"
	"strings"
)

// readForm takes a multipart form: the file as voucher, and the fields, in any order.
func readForm(b *body, boundary string, h *handover) error {
	if boundary == "" {
		return &problem{kind: problemBody, detail: "the form's Content-Type has no boundary"}
	}
	guard := &headGuard{from: b, left: maxPartHead}
	parts := multipart.NewReader(guard, boundary)
	for {
		guard.left = maxPartHead
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return malformed(err, "the form cannot be read, or has no end")
		}
		if err := readPart(part, guard, h); err != nil {
			return err
		}
	}
	if !h.has("voucher") {
		return invalidf("voucher", "the form has no file of this name")
	}
	return nil
}

func readPart(part *multipart.Part, guard *headGuard, h *handover) error {
	name := part.FormName()
	if name == "voucher" {
		if err := h.first(name); err != nil {
			return err
		}
		guard.left = -1
		return copyTo(&h.voucher, part)
	}
	var value strings.Builder
	if _, err := io.Copy(&value, io.LimitReader(part, maxField+1)); err != nil {
		return malformed(err, "the form cannot be read, or has no end")
	}
	if value.Len() > maxField {
		return invalidf(clip(name, 40), "is too long")
	}
	return h.set(name, value.String())
}

// malformed keeps a reason that there is, and makes the rest a problem of the body.
func malformed(err error, detail string) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	return &problem{kind: problemBody, detail: detail, cause: err}
}

// copyTo copies a voucher by way of a small buffer. Errors of either side stay what they are, or become a problem of the
// body.
func copyTo(to *spool, from io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		got, err := from.Read(buffer)
		if _, werr := to.Write(buffer[:got]); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return malformed(err, "the body was cut off")
		}
	}
}

// maxPartHead bounds the headers of a form's part, what stands before the first part, and a field. mime/multipart alone
// would take 10 MiB of headers into memory.
const maxPartHead = 32 << 10

// headGuard bounds what is read between two files.
type headGuard struct {
	from io.Reader
	left int // negative: no bound
}

func (g *headGuard) Read(p []byte) (int, error) {
	if g.left < 0 {
		return g.from.Read(p) //nolint:wrapcheck // passed on
	}
	if g.left == 0 {
		return 0, &problem{kind: problemBody, detail: "the form has too much beside the voucher"}
	}
	n, err := g.from.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err //nolint:wrapcheck // passed on
}
