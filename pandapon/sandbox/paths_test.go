package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func TestOtherCallsAreEchoed(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	for _, c := range []struct{ method, target, path, query, body string }{
		{http.MethodPost, "/open/order/create", "/open/order/create", "", `{"a":1}`},
		{http.MethodGet, "/alibaba/goods/detail?id=1&lang=%E4%B8%AD", "/alibaba/goods/detail", "id=1&lang=%E4%B8%AD", ""},
		{http.MethodDelete, "/v2/address?x", "/v2/address", "x", "not JSON"},
	} {
		a := b.call(t.Context(), c.method, c.target, headers(time.Now()), strings.NewReader(c.body))
		want := `{"method":"` + c.method + `","path":"` + c.path + `","query":"` + strings.ReplaceAll(c.query, "&", `\u0026`) + `","bodySha256":"` + sum([]byte(c.body)) + `","bodySize":`
		if a.status != http.StatusOK || a.text("code") != "200" || !strings.HasPrefix(string(a.fields["data"]), want) {
			t.Errorf("%s %s answered %d %s, want %s", c.method, c.target, a.status, a.body, want)
		}
		log := b.Requests()
		if got := log[len(log)-1]; got.Accepted || !got.Complete || got.Size != int64(len(c.body)) || got.SHA256 != sum([]byte(c.body)) {
			t.Errorf("logged %+v", got)
		}
	}
	h := headers(time.Now())
	h.Set("signature", "wrong")
	if a := b.call(t.Context(), http.MethodPost, "/open/order/create", h, strings.NewReader("")); a.status != http.StatusUnauthorized {
		t.Errorf("badly signed: answer %d %s", a.status, a.body)
	}
	b.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	if a := b.call(t.Context(), http.MethodPost, "/open/order/create", headers(time.Now()), strings.NewReader("")); a.status != http.StatusServiceUnavailable {
		t.Errorf("in an outage: answer %d %s", a.status, a.body)
	}
}

func TestPathsThatAreNot(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	moved := newBox(t, sandbox.Config{UploadPath: "/open/vouchers"})
	cases := []struct {
		box          *box
		method, path string
		status       int
		code         string
	}{
		{b, http.MethodPost, "/open/order/upload/payCert", 404, "90010"},
		{b, http.MethodPost, "/", 404, "90010"},
		{b, http.MethodGet, "/opened", 404, "90010"},
		{b, http.MethodGet, uploadPath, 405, "90011"},
		{moved, http.MethodPost, uploadPath, 404, "90010"},
		{moved, http.MethodPost, "/open/vouchers", 200, "200"},
	}
	for _, c := range cases {
		a := c.box.call(t.Context(), c.method, c.path, headers(time.Now()), strings.NewReader(uploadBody(orderID, []byte("x"))))
		if a.status != c.status || a.text("code") != c.code {
			t.Errorf("%s %s answered %d %s, want %d", c.method, c.path, a.status, a.body, c.status)
		}
		if c.status == http.StatusMethodNotAllowed && a.header.Get("Allow") != http.MethodPost {
			t.Errorf("Allow is %q", a.header.Get("Allow"))
		}
	}
}
