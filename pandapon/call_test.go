package pandapon_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

func TestDo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method, body, contentType string
	}{
		"get":         {method: http.MethodGet},
		"head":        {method: http.MethodHead},
		"post":        {method: http.MethodPost, body: `{"page":1}`, contentType: "application/json"},
		"empty post":  {method: http.MethodPost},
		"put":         {method: http.MethodPut, body: "{}", contentType: "application/json"},
		"empty put":   {method: http.MethodPut},
		"delete":      {method: http.MethodDelete},
		"get, body":   {method: http.MethodGet, body: "{}", contentType: "application/json"},
		"large post":  {method: http.MethodPost, body: strings.Repeat("x", 300_000), contentType: "application/json"},
		"no method":   {},
		"lower patch": {method: "PATCH", body: "1", contentType: "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan *http.Request, 1)
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				raw, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(raw))
				got <- r
				_, _ = io.WriteString(w, success)
			})
			env, err := newClient(t, server.URL).Do(t.Context(), pandapon.Call{
				Credentials: credentials(), Method: tt.method, Path: "/open/order/list",
				Query: url.Values{"q": {testQuery}, "page": {"2"}}, Body: []byte(tt.body),
			})
			if tt.method == http.MethodHead {
				failure(t, err, pandapon.NoAnswer) // its answer has no body
			} else if err != nil || env.Msg != "成功" || string(env.Data) != "true" {
				t.Errorf("envelope %+v, %v", env, err)
			}
			r := <-got
			raw, _ := io.ReadAll(r.Body)
			if string(raw) != tt.body || r.ContentLength != int64(len(tt.body)) || len(r.TransferEncoding) > 0 {
				t.Errorf("body %.50q, length %d, encoding %v", raw, r.ContentLength, r.TransferEncoding)
			}
			if want := "/open/order/list?page=2&q=" + testQuery; r.RequestURI != want {
				t.Errorf("asked for %s, want %s", r.RequestURI, want)
			}
			h := r.Header
			rule := pandapon.SignRule{}
			nonce := h.Get(pandapon.HeaderNonce)
			if len(nonce) != 32 || h.Get(pandapon.HeaderSignature) != rule.Sign(credentials(), h.Get(pandapon.HeaderTimestamp), nonce) {
				t.Errorf("headers %v", h)
			}
			if h.Get("Content-Type") != tt.contentType {
				t.Errorf("content type %q, want %q", h.Get("Content-Type"), tt.contentType)
			}
		})
	}
}

func TestDoFails(t *testing.T) {
	t.Parallel()
	refusing := serve(t, answer(http.StatusForbidden, `{"code":403,"msg":"no","data":{"x":1}}`))
	query := url.Values{"q": {testQuery}}
	call := pandapon.Call{Credentials: credentials(), Method: http.MethodGet, Path: "/x", Query: query, Nonce: testNonce}
	env, err := newClient(t, refusing.URL).Do(t.Context(), call)
	if failed := failure(t, err, pandapon.Answered); failed.Envelope.Msg != "no" || env.Msg != "" {
		t.Errorf("%+v beside %+v", env, failed)
	}
	reset := listen(t, func(p *peer) { p.head(); p.reset() })
	_, err = newClient(t, reset.URL).Do(t.Context(), call)
	failure(t, err, pandapon.NoAnswer)
	hung := listen(t, func(p *peer) { p.request(); p.hang() })
	_, err = newClient(t, hung.URL, within(short)).Do(t.Context(), call)
	failure(t, err, pandapon.NoAnswer)
	call.Body = make([]byte, endlessSize)
	call.Method = http.MethodPost
	stalled := listen(t, (*peer).stall)
	_, err = newClient(t, stalled.URL, within(short)).Do(t.Context(), call)
	failure(t, err, pandapon.NotSent)
}

// What cannot be sent is refused with a sentence, before any connection.
func TestInvalidCalls(t *testing.T) {
	t.Parallel()
	server := watcher(t)
	client := newClient(t, server.URL)
	type change = func(*pandapon.Upload)
	for part, change := range map[string]change{
		"order id is missing":                 func(u *pandapon.Upload) { u.OrderID = "" },
		"order id is not UTF-8":               func(u *pandapon.Upload) { u.OrderID = "\xff" },
		"nonce is missing":                    func(u *pandapon.Upload) { u.Nonce = "" },
		"nonce cannot be sent in a header":    func(u *pandapon.Upload) { u.Nonce = "a\r\nb" },
		"a voucher cannot have -1 bytes":      func(u *pandapon.Upload) { u.Size = -1 },
		"a voucher cannot have 1099511627777": func(u *pandapon.Upload) { u.Size = 1<<40 + 1 },
		"voucher is missing":                  func(u *pandapon.Upload) { u.Voucher = nil },
		"access key is missing":               func(u *pandapon.Upload) { u.Credentials.AccessKey = "" },
		"secret is missing":                   func(u *pandapon.Upload) { u.Credentials.Secret = "" },
		"user id is missing":                  func(u *pandapon.Upload) { u.Credentials.UserID = "" },
		"user id cannot be sent":              func(u *pandapon.Upload) { u.Credentials.UserID = "用户" },
		"access key cannot be sent":           func(u *pandapon.Upload) { u.Credentials.AccessKey = testKey + "\n" },
	} {
		u := uploadOf(picture(10))
		change(&u)
		_, err := client.Upload(t.Context(), u)
		if failure(t, err, pandapon.NotSent); !errors.Is(err, pandapon.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("want %q: %v", part, err)
		}
	}
	for part, call := range map[string]pandapon.Call{
		"begin it with a slash":       {Path: "x"},
		"leave out query":             {Path: "/x?" + testQuery},
		"not a URL path":              {Path: "/%zz" + testQuery},
		"method or address":           {Path: "/x", Method: "GE T"},
		"the nonce cannot be sent in": {Path: "/x", Nonce: "\x00"},
	} {
		call.Credentials = credentials()
		_, err := client.Do(t.Context(), call)
		if failure(t, err, pandapon.NotSent); !errors.Is(err, pandapon.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("want %q: %v", part, err)
		}
	}
	if n := server.conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestNewClientReportsEveryFault(t *testing.T) {
	t.Parallel()
	for base, part := range map[string]string{
		"ftp://host":                      "https://",
		"api.example.com":                 "https://",
		"https://":                        "host is missing",
		"https://:443":                    "host is missing",
		"https://me:" + testSecret + "@h": "leave out user",
		"https://h?q=" + testQuery:        "leave out query",
		"https://h/#" + testQuery:         "leave out query",
		"https://h:x" + testSecret:        "not a URL",
		"http://h/%zz":                    "not a URL",
	} {
		_, err := pandapon.NewClient(pandapon.Config{BaseURL: base})
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want %q", base, err, part)
		}
		noLeak(t, err)
	}
	_, err := pandapon.NewClient(pandapon.Config{
		BaseURL: "x", UploadPath: "y", Rule: pandapon.SignRule{Unit: "z"}, CallTimeout: -time.Second, MaxConns: -1, UserAgent: "a\nb",
	})
	for _, part := range []string{"base URL", "upload path", "sign rule", "call timeout", "connections", "user agent"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not speak of the %s", err, part)
		}
	}
	client, err := pandapon.NewClient(pandapon.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	got, err := client.Request(upload(nil, 1))
	if err != nil || got.URL != pandapon.DefaultBaseURL+pandapon.DefaultUploadPath {
		t.Errorf("the documented API is %s, %v", got.URL, err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Ask(r); err != nil {
		t.Errorf("proxy: %v", err)
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*pandapon.Error{
		"pandapon: unknown":            {},
		"pandapon: answered: HTTP 503": {Kind: pandapon.Answered, HTTPStatus: 503},
		"pandapon: not sent: no route": {Kind: pandapon.NotSent, Err: errors.New("no route")},
		"pandapon: no answer: HTTP 200, answer has no code": {
			Kind: pandapon.NoAnswer, HTTPStatus: 200, Err: pandapon.ErrNoCode,
		},
		`pandapon: answered: HTTP 200, code 7, msg "签名", request id r`: {
			Kind: pandapon.Answered, HTTPStatus: 200, Envelope: pandapon.Envelope{Code: "7", Msg: "签名", RequestID: "r"},
		},
	} {
		if got := err.Error(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
