package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/pandapon"
)

// dropIn stands in for PandaPon's API, so that a backend changes its base URL and nothing else.
type dropIn struct {
	accounts  []*accountDoor
	rule      pandapon.SignRule
	now       func() time.Time
	transport *http.Transport
}

// accountDoor is an account as its callers see it.
type accountDoor struct {
	Account

	base  *url.URL
	proxy *httputil.ReverseProxy
}

func newDropIn(cfg Config, log *zap.Logger) (*dropIn, error) {
	d := &dropIn{rule: cfg.Rule, now: cfg.Now, transport: passTransport()}
	var faults []error
	for _, l := range cfg.Accounts {
		l.BaseURL = cmp.Or(l.BaseURL, pandapon.DefaultBaseURL)
		l.UploadPath = cmp.Or(l.UploadPath, pandapon.DefaultUploadPath)
		base, err := url.Parse(strings.TrimSuffix(l.BaseURL, "/"))
		switch {
		case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
			faults = append(faults, fmt.Errorf("account %s: the base URL is not one of HTTP", l.Name))
			continue
		case l.Credentials.AccessKey == "" || l.Credentials.Secret == "":
			faults = append(faults, fmt.Errorf("account %s: access key and secret are needed to check signatures", l.Name))
		case !strings.HasPrefix(l.UploadPath, "/") || ownPath(l.UploadPath):
			faults = append(faults, fmt.Errorf("account %s: the upload path %s is one of the gateway's own", l.Name, l.UploadPath))
		}
		door := &accountDoor{Account: l, base: base}
		door.proxy = d.proxyTo(door, log)
		d.accounts = append(d.accounts, door)
	}
	return d, errors.Join(faults...)
}

// ownPath says whether a path is the gateway's.
func ownPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "", "v1", "queues", "livez", "readyz", "metrics", "openapi.json", "static", "uploads", "search", "language":
		return true
	}
	return false
}

// owns says whether a path is PandaPon's: what begins as its paths do, and the accounts' upload paths. It looks at the path
// as it was sent, before anything makes it tidy.
func (d *dropIn) owns(r *http.Request) bool {
	path := r.URL.Path
	for _, prefix := range []string{"/open/", "/alibaba/", "/v2/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	for _, l := range d.accounts {
		if path == l.UploadPath {
			return true
		}
	}
	return false
}

// serveDropIn answers a call of PandaPon's API. Nothing of it is looked at before its signature is known to be an account's.
func (g *Gateway) serveDropIn(w http.ResponseWriter, r *http.Request) {
	account, refusal := g.dropIn.verify(r)
	if refusal != nil {
		g.refuseEnvelope(w, r, refusal)
		return
	}
	exchangeOf(r).account = account.Name
	if r.Method == http.MethodPost && r.URL.Path == account.UploadPath {
		if err := g.takeVoucher(w, r, account); err != nil {
			g.refuseEnvelope(w, r, explain(err))
		}
		return
	}
	g.passOn(w, r, account)
}

// takeVoucher takes the upload call. A voucher that is accepted, now or before, is code 200, with the upload's id as
// requestId: `voucherd show` finds it by that.
func (g *Gateway) takeVoucher(w http.ResponseWriter, r *http.Request, account *accountDoor) error {
	leave, ok := g.uploads.take(r.Context(), g.limits.SlotWait)
	if !ok {
		return busy()
	}
	defer leave()
	g.answerTime(w, g.limits.BodyTime+g.limits.StoreTime+g.limits.ShortTime)
	h := &handover{account: account.Name, userID: r.Header.Get(pandapon.HeaderUserID), voucher: spool{most: g.cfg.MaxVoucherBytes}}
	defer h.voucher.close()
	if h.userID == "" {
		return invalidf(pandapon.HeaderUserID, "the header is missing")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != jsonType {
		return &problem{kind: problemMediaType, detail: "the body is not application/json"}
	}
	b, err := g.bodyOf(w, r, g.largestBody())
	if err != nil {
		return err
	}
	err = readCall(b, h)
	if cut := b.failure(); cut != nil {
		return cut
	}
	if err != nil {
		return err
	}
	exchangeOf(r).orderID = h.orderID
	u, err := g.enqueue(r.Context(), h)
	if err != nil {
		return err
	}
	g.note(r, u)
	writeJSON(w, jsonType, http.StatusOK, envelope{RequestID: u.ID, Code: codeAccepted, Msg: acceptedEnvelope, Data: true})
	return nil
}

// readCall reads the body of PandaPon's upload call. Members that its page does not name are passed over.
func readCall(b *body, h *handover) error {
	o, err := openObject(b)
	if err != nil {
		return err
	}
	for {
		name, ok, err := o.next()
		if err != nil {
			return err
		}
		switch {
		case !ok && !h.has("base64"):
			return invalidf("base64", "is missing")
		case !ok:
			return nil
		case name == "base64" || name == "orderId":
			err = readMember(o, name, h)
		default:
			_, err = o.value()
		}
		if err != nil {
			return err
		}
	}
}
