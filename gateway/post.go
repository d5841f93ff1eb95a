package gateway

import (
	"mime"
	"net/http"
	"strings"
)

// postUpload takes a voucher: as a form, as JSON, or as the raw file.
func (g *Gateway) postUpload(w http.ResponseWriter, r *http.Request) error {
	leave, ok := g.uploads.take(r.Context(), g.limits.SlotWait)
	if !ok {
		return busy()
	}
	defer leave()
	g.answerTime(w, g.limits.BodyTime+g.limits.StoreTime+g.limits.ShortTime)
	h := &handover{voucher: spool{most: g.cfg.MaxVoucherBytes}}
	defer h.voucher.close()
	if err := g.readUpload(w, r, h); err != nil {
		return err
	}
	exchangeOf(r).orderID = h.orderID
	var err error
	if h.account, err = g.accountOf(h.account); err != nil {
		return err
	}
	u, err := g.enqueue(r.Context(), h)
	if err != nil {
		return err
	}
	g.note(r, u)
	w.Header().Set("Location", "/v1/uploads/"+u.ID)
	status := http.StatusAccepted
	if u.Duplicate {
		status = http.StatusOK
	}
	writeJSON(w, jsonType, status, u)
	return nil
}

func busy() *problem {
	return &problem{kind: problemBusy, retryAfter: busyPause, detail: "too many requests of this kind at once; try again"}
}

// readUpload reads the whole request.
func (g *Gateway) readUpload(w http.ResponseWriter, r *http.Request, h *handover) error {
	if err := h.fromQuery(r); err != nil {
		return err
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	most := g.cfg.MaxVoucherBytes + slack
	if kind == jsonType {
		most = g.largestBody()
	}
	b, err := g.bodyOf(w, r, most)
	if err != nil {
		return err
	}
	switch {
	case kind == "multipart/form-data":
		err = readForm(b, params["boundary"], h)
	case kind == jsonType:
		err = readJSON(b, h)
	case strings.HasPrefix(kind, "image/"), kind == "application/pdf", kind == "application/octet-stream":
		err = readRaw(b, h)
	default:
		return &problem{
			kind:   problemMediaType,
			detail: "send a form (multipart/form-data), JSON (application/json), or the file itself as image/…, application/pdf or application/octet-stream",
		}
	}
	if cut := b.failure(); cut != nil {
		return cut
	}
	return err
}

// slack is for all in a body that is not the voucher.
const slack = 64 << 10

// readRaw takes a body that is the voucher.
func readRaw(b *body, h *handover) error {
	if !h.has("orderId") {
		return invalidf("orderId", "is missing: put it into the query, as in ?orderId=1022505290408395575")
	}
	return copyTo(&h.voucher, b)
}
