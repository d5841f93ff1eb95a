package tasks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"

	"github.com/voucherd/voucherd/internal/accountname"
	"github.com/voucherd/voucherd/ledger"
)

// ErrInvalid means that what was enqueued cannot be sent; an *InvalidError says which field and
// why.
var ErrInvalid = errors.New("not accepted")

// InvalidError says what is wrong with a request, in a sentence for the person who made it.
type InvalidError struct {
	Field  string // "voucher", "orderId", "userId", "account", "reference"
	Reason string
	// TooLarge and UnknownKind tell the two refusals of a voucher apart that HTTP has statuses of
	// their own for.
	TooLarge, UnknownKind bool
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Reason }

func (e *InvalidError) Unwrap() error { return ErrInvalid }

// DefaultMaxVoucherBytes is the largest voucher that is accepted unless set otherwise: 10 MiB.
// PandaPon documents no limit.
const DefaultMaxVoucherBytes = 10 << 20

// DefaultMediaTypes are the kinds of voucher that are accepted unless set otherwise. PandaPon
// documents none; these are what payment receipts come as.
func DefaultMediaTypes() []string {
	return []string{
		"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/heic", "image/heif", "application/pdf",
	}
}

const maxReference = 200 // characters

var (
	orderID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_.-]{0,63}$`)
	userID  = regexp.MustCompile(`^[0-9A-Za-z_.-]{0,64}$`)
)

// checkNames refuses names that no upload can have.
func checkNames(r Request) error {
	switch {
	case !ledger.ValidAccount(r.Account):
		return &InvalidError{Field: "account", Reason: accountname.Rule}
	case r.OrderID == "":
		return &InvalidError{Field: "orderId", Reason: "is missing"}
	case !orderID.MatchString(r.OrderID):
		return &InvalidError{Field: "orderId", Reason: "must have 1 to 64 characters of 0-9, A-Z, a-z, '_', '.' and '-', and begin with a digit or letter"}
	case !userID.MatchString(r.UserID):
		return &InvalidError{Field: "userId", Reason: "must have at most 64 characters of 0-9, A-Z, a-z, '_', '.' and '-'"}
	case !printable(r.Reference):
		return &InvalidError{Field: "reference", Reason: fmt.Sprintf("must have at most %d printable characters", maxReference)}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxReference &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// source is a voucher to be read, if it can be more than once.
type source struct {
	mediaType string
	head      []byte    // its first bytes, which tell its kind
	rest      io.Reader // what follows them
	most      int64     // bytes that it may have
	after     int64     // where in rest the head ends; -1: it can be read once
	read      bool
}

// sniffLength is how much of a voucher is looked at to tell its kind; mimetype asks for no more.
const sniffLength = 3072

// sniff tells a voucher's kind from its first bytes.
func (c *Client) sniff(voucher io.Reader) (*source, error) {
	head := make([]byte, sniffLength)
	n, err := io.ReadFull(voucher, head)
	switch {
	case n == 0 && (err == nil || errors.Is(err, io.EOF)):
		return nil, &InvalidError{Field: "voucher", Reason: "is empty"}
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("read the voucher: %w", err)
	}
	s := &source{head: head[:n], rest: voucher, most: c.cfg.MaxVoucherBytes, after: -1}
	if seeker, ok := voucher.(io.Seeker); ok {
		if at, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			s.after = at
		}
	}
	kind := mimetype.Detect(s.head)
	for _, s.mediaType = range c.cfg.MediaTypes {
		if kind.Is(s.mediaType) {
			return s, nil
		}
	}
	return nil, &InvalidError{
		Field: "voucher", UnknownKind: true,
		Reason: fmt.Sprintf("looks like %s, but only these are accepted: %s", kind.String(), strings.Join(c.cfg.MediaTypes, ", ")),
	}
}

// errReadOnce means that a voucher would have to be read again, and cannot.
var errReadOnce = errors.New("the voucher cannot be read a second time")

// open gives the whole voucher, within its limit.
func (s *source) open() (io.Reader, error) {
	if s.read {
		seeker, ok := s.rest.(io.Seeker)
		if !ok || s.after < 0 {
			return nil, errReadOnce
		}
		if _, err := seeker.Seek(s.after, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read the voucher again: %w", err)
		}
	}
	s.read = true
	return &limitedReader{r: io.MultiReader(bytes.NewReader(s.head), s.rest), left: s.most, most: s.most}, nil
}

// limitedReader refuses what is longer than allowed, as soon as it shows.
type limitedReader struct {
	r          io.Reader
	left, most int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, &InvalidError{
			Field: "voucher", TooLarge: true, Reason: fmt.Sprintf("is larger than %d bytes", l.most),
		}
	}
	return n, err
}
