package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/voucherd/voucherd/internal/voucherjson"
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

func cutOffBody() *refusal {
	return refuse(http.StatusBadRequest, CodeBadBody, "the body did not arrive whole")
}

// readVoucher reads {"base64":"…","orderId":"…"} to its end, whatever is wrong with it. Its memory
// does not grow with the voucher.
func readVoucher(r io.Reader) body {
	var b body
	all := &wholeReader{r: r}
	problem := b.readObject(all)
	_, err := io.Copy(io.Discard, all)
	b.complete = err == nil
	switch {
	case !b.complete:
		b.sha256, b.problem = "", cutOffBody()
	case errors.Is(problem, voucherjson.ErrTooMuch):
		b.problem = refuse(http.StatusBadRequest, CodeBadBody, "the fields beside base64 are too large")
	case problem != nil:
		b.problem = refuse(http.StatusBadRequest, CodeBadBody, "the body is not a JSON object")
	case b.problem == nil && b.sha256 == "":
		b.problem = badVoucher("base64 is missing or not a string")
	case b.problem == nil && b.orderID == "":
		b.problem = refuse(http.StatusBadRequest, CodeBadOrderID, "orderId is missing, empty or not a string")
	}
	return b
}

// wholeReader gives the error that a body ended with again and again: a server's own says io.EOF
// after it has once said that the body was cut off.
type wholeReader struct {
	r   io.Reader
	err error
}

func (w *wholeReader) Read(p []byte) (n int, err error) {
	if w.err == nil {
		n, w.err = w.r.Read(p)
	}
	return n, w.err
}

func badVoucher(problem string) *refusal {
	return refuse(http.StatusBadRequest, CodeBadVoucher, problem)
}

// readObject reads the members that count. An error is one of voucherjson.
func (b *body) readObject(r io.Reader) error {
	o, err := voucherjson.Open(r)
	if err != nil {
		return err
	}
	for vouchers := 0; ; {
		name, err := o.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if name == "base64" {
			if vouchers++; vouchers == 1 {
				err = b.readBase64(o)
			} else {
				b.problem = badVoucher("base64 stands there twice")
				_, err = o.Value()
			}
		} else {
			err = b.readField(o, name)
		}
		if err != nil {
			return err
		}
	}
}

func (b *body) readField(o *voucherjson.Object, name string) error {
	value, err := o.Value()
	if err == nil && name == "orderId" {
		b.orderID = ""
		_ = json.Unmarshal(value, &b.orderID) // what is no string leaves it empty
	}
	return err
}

// readBase64 decodes the voucher and hashes it.
func (b *body) readBase64(o *voucherjson.Object) error {
	text, err := o.Text()
	if text == nil && err == nil {
		_, err = o.Value() // no string
	}
	if text == nil {
		return err
	}
	sum := sha256.New()
	b.size, err = io.Copy(sum, base64.NewDecoder(base64.StdEncoding.Strict(), oneLine{text}))
	switch {
	case err != nil:
		b.problem = badVoucher("base64 is not base64")
	case b.size == 0:
		b.problem = badVoucher("base64 is empty")
	default:
		b.sha256 = hex.EncodeToString(sum.Sum(nil))
	}
	return nil
}

// oneLine refuses line ends, which the base64 decoder lets pass.
type oneLine struct{ io.Reader }

func (o oneLine) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if bytes.IndexByte(p[:n], '\n') >= 0 {
		return 0, errors.New("a line end")
	}
	return n, err // io.EOF must stay bare
}
