package pandapon

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Upload is one attempt to deliver a voucher.
type Upload struct {
	Credentials Credentials
	Nonce       string // from NewNonce, noted by the caller beforehand
	OrderID     string
	Voucher     io.Reader
	Size        int64         // the exact number of bytes Voucher gives
	Skew        time.Duration // added to the clock before signing
}

// Receipt is a success: HTTP status 2xx and code 200.
type Receipt struct {
	Envelope

	HTTPStatus int
	Timestamp  string    // as it was signed and sent
	Date       time.Time // the answer's Date header; zero when absent
}

// HeaderField is one header of a signed request.
type HeaderField struct{ Name, Value string }

// SignedRequest is a request ready to be sent. Its body is BodyBefore, the
// voucher in base64, BodyAfter.
type SignedRequest struct {
	Method, URL           string
	Headers               []HeaderField
	Timestamp             string
	BodyBefore, BodyAfter string
}

// Upload makes exactly one attempt to deliver a voucher; nothing is tried
// again behind the caller's back. The voucher is streamed, and the closing bytes
// of the request are sent only after it has given io.EOF at exactly Size. Upload
// returns after the last Read of the voucher, so a Read must not block for ever.
//
// Any error is an [*Error]. One from the voucher's reader is found with
// errors.Is and comes as NotSent.
func (c *Client) Upload(ctx context.Context, u Upload) (Receipt, error) {
	signed, err := c.Request(u)
	if err != nil {
		return Receipt{}, err
	}
	if u.Voucher == nil {
		return Receipt{}, invalid("the voucher is missing")
	}
	return c.send(ctx, signed, u.Credentials, newVoucherBody(&c.chunks, u.Voucher, u.Size, signed.BodyAfter))
}

// Request signs an upload without sending it. The voucher is not touched. An
// error is an [*Error] that wraps ErrInvalid.
func (c *Client) Request(u Upload) (SignedRequest, error) {
	switch {
	case u.OrderID == "":
		return SignedRequest{}, invalid("the order id is missing")
	case !utf8.ValidString(u.OrderID):
		return SignedRequest{}, invalid("the order id is not UTF-8")
	case u.Nonce == "":
		return SignedRequest{}, invalid("the nonce is missing")
	case u.Size < 0 || u.Size > maxVoucher:
		return SignedRequest{}, invalid("a voucher cannot have %d bytes", u.Size)
	}
	signed, err := c.sign(u.Credentials, u.Nonce, u.Skew)
	if err != nil {
		return SignedRequest{}, err
	}
	signed.BodyBefore, signed.BodyAfter = bodyBefore, bodyAfter(u.OrderID)
	return signed, nil
}

func (c *Client) sign(cred Credentials, nonce string, skew time.Duration) (SignedRequest, error) {
	for _, must := range []HeaderField{
		{"access key", cred.AccessKey}, {"secret", cred.Secret.Reveal()}, {"user id", cred.UserID},
	} {
		if must.Value == "" {
			return SignedRequest{}, invalid("the %s is missing", must.Name)
		}
	}
	for _, header := range []HeaderField{
		{"access key", cred.AccessKey}, {"user id", cred.UserID}, {"nonce", nonce},
	} {
		if !printable(header.Value) {
			return SignedRequest{}, invalid("the %s cannot be sent in a header: use printable ASCII", header.Name)
		}
	}
	timestamp := c.rule.Timestamp(c.now().Add(skew))
	return SignedRequest{
		Method:    http.MethodPost,
		URL:       c.base + c.uploadPath,
		Timestamp: timestamp,
		Headers: []HeaderField{
			{HeaderAccessKey, cred.AccessKey},
			{HeaderTimestamp, timestamp},
			{HeaderNonce, nonce},
			{HeaderUserID, cred.UserID},
			{HeaderSignature, c.rule.Sign(cred, timestamp, nonce)},
			{"Accept", "application/json"},
			{"User-Agent", c.userAgent},
			{"Content-Type", "application/json"},
		},
	}, nil
}

// newRequest turns a signed request into one of net/http. It sets no GetBody:
// with it the transport would send a second time on its own.
func newRequest(ctx context.Context, signed SignedRequest, b *body) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, signed.Method, signed.URL, http.NoBody)
	if err != nil {
		// The original quotes the address.
		return nil, invalid("the address is malformed")
	}
	for _, h := range signed.Headers {
		// Spelled as documented, in case a server looks at the case.
		req.Header[h.Name] = []string{h.Value}
	}
	req.Body, req.ContentLength = b, b.length()
	return req, nil
}

// scrub hides what a server might quote back at us.
func scrub(cred Credentials, signed SignedRequest) scrubber {
	values := []string{cred.Secret.Reveal(), cred.AccessKey}
	for _, h := range signed.Headers {
		if strings.EqualFold(h.Name, HeaderSignature) {
			values = append(values, h.Value)
		}
	}
	return newScrubber(values...)
}
