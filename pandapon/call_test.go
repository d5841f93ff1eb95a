package pandapon_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

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
