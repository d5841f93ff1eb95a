package intake

import (
	"mime"
	"net/http"
	"strings"

	"github.com/voucherd/voucherd/gateway/problem"
)

const jsonType = "application/json"

// slack is for all in a body that is not the voucher.
const slack = 64 << 10

// LargestBody is that of the largest voucher as JSON: base64 takes a third more, and JSON may
// escape some of it.
func (in *Intake) LargestBody() int64 { return 2*in.cfg.MaxVoucherBytes + slack }

// readUpload reads a request to /v1, whole: the fields in its query, and its body in whichever form
// it comes.
func (in *Intake) readUpload(w http.ResponseWriter, r *http.Request, u *uploadRequest) error {
	if err := u.fromQuery(r); err != nil {
		return err
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	most := in.cfg.MaxVoucherBytes + slack
	if kind == jsonType {
		most = in.LargestBody()
	}
	return in.readBody(w, r, most, func(b *Body) error {
		switch {
		case kind == "multipart/form-data":
			return readForm(b, params["boundary"], u)
		case kind == jsonType:
			return readJSON(b, u)
		case strings.HasPrefix(kind, "image/"), kind == "application/pdf", kind == "application/octet-stream":
			return readRaw(b, u)
		default:
			return &problem.Error{
				Kind:   problem.MediaType,
				Detail: "send a form (multipart/form-data), JSON (application/json), or the file itself as image/…, application/pdf or application/octet-stream",
			}
		}
	})
}

// readCall reads PandaPon's upload call.
func (in *Intake) readCall(w http.ResponseWriter, r *http.Request, u *uploadRequest) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != jsonType {
		return &problem.Error{Kind: problem.MediaType, Detail: "the body is not application/json"}
	}
	return in.readBody(w, r, in.LargestBody(), func(b *Body) error { return readCallJSON(b, u) })
}

// readBody lets a body be read. Other encodings than identity are refused. What ended the body
// early counts before what its reader made of that.
func (in *Intake) readBody(w http.ResponseWriter, r *http.Request, most int64, read func(*Body) error) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return &problem.Error{Kind: problem.MediaType, Detail: "send the body as it is, without Content-Encoding"}
	}
	if r.ContentLength > most {
		return problem.LargeBody()
	}
	b := NewBody(w, r, in.cfg.Limits.Body, most)
	err := read(b)
	if cut := b.Failure(); cut != nil {
		return cut
	}
	return err
}

// readRaw takes a body that is the voucher.
func readRaw(b *Body, u *uploadRequest) error {
	if !u.has("orderId") {
		return problem.Invalidf("orderId", "is missing: put it into the query, as in ?orderId=1022505290408395575")
	}
	return copyTo(&u.voucher, b)
}
