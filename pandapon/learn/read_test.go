package learn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/learn"
)

const uploadPath = pandapon.DefaultUploadPath

// example is the request of the endpoint's page, with a signature of the default rule and secret.
func example() learn.Request {
	return learn.Request{
		Path: uploadPath, AccessKey: "58c0201dfdf148eca63cbf6bb5e7cf03", Timestamp: "1715669977082",
		Nonce: "nonce-str", UserID: "2100007341207", Signature: "E17D79E164582800C6EC688859D955AF",
	}
}

// files are the forms that a request can have. In all of them it is the example.
func files() map[string]string {
	const headers = "access-key: 58c0201dfdf148eca63cbf6bb5e7cf03\nnonce-str: nonce-str\ntimestamp: 1715669977082\n" +
		"user-id: 2100007341207\nsignature: E17D79E164582800C6EC688859D955AF\n"
	const har = `{"url": "https://api.pandapon.com/open/order/upload/payCertificate?x=1", "method": "POST", "headers": [
		{"name": "Access-Key", "value": "58c0201dfdf148eca63cbf6bb5e7cf03"}, {"name": "nonce-str", "value": "nonce-str"},
		{"name": "timestamp", "value": "1715669977082"}, {"name": "user-id", "value": "2100007341207"},
		{"name": "signature", "value": "E17D79E164582800C6EC688859D955AF"}], "postData": {"text": "{\"base64\":\"\"}"}}`
	const other = `{"request": {"url": "https://api.pandapon.com/open/order/list", "headers": [{"name": "signature", "value": "00"}]}}`
	request := "POST /open/order/upload/payCertificate HTTP/1.1\nHost: api.pandapon.com\n" + headers + "Content-Type: application/json\n\n"
	return map[string]string{
		"curl of the page": `curl --location --request POST 'https://api.pandapon.com/open/order/upload/payCertificate' \
--header 'access-key: 58c0201dfdf148eca63cbf6bb5e7cf03' \
--header 'nonce-str: nonce-str' \
--header 'timestamp: 1715669977082' \
--header 'user-id: 2100007341207' \
--header 'signature: E17D79E164582800C6EC688859D955AF' \
--header 'Content-Type: application/json' \
--data-raw '{
    "base64": "it'\''s",
    "orderId": "1022505290408395575"
}'`,
		"curl, short": `# works
$ /usr/bin/curl -sSH "Access-Key: 58c0201dfdf148eca63cbf6bb5e7cf03" -Hnonce-str:nonce-str -H timestamp:\ 1715669977082 \
  "--header=user-id: 2100007341207" -H $'signature:\x20E17D79E164582800C6EC688859D955AF' -d @body.json https://x/open/order/upload/payCertificate | jq .`,
		"second curl": "curl https://x/open/x -H 'access-key: other' && curl https://x/open/order/upload/payCertificate -H '" +
			strings.ReplaceAll(strings.TrimSpace(headers), "\n", "' -H '") + "'",
		"HAR":            `{"log": {"version": "1.2", "entries": [` + other + `, {"request": ` + har + `}]}}`,
		"HAR entry":      `{"time": 5, "request": ` + har + `}`,
		"HAR request":    "\xef\xbb\xbf" + har,
		"request":        request + `{"signature": "x"}`,
		"request, CRLF":  strings.ReplaceAll(request, "\n", "\r\n") + "signature: not this one\r\n",
		"curl --verbose": "* Connected to api.pandapon.com\n> " + strings.ReplaceAll(strings.TrimSpace(request), "\n", "\n> ") + "\n>\n< HTTP/1.1 200 OK\n< signature: 1\n",
	}
}

func TestReadsEveryForm(t *testing.T) {
	t.Parallel()
	for name, file := range files() {
		got, err := learn.Read([]byte(file), uploadPath)
		if err != nil || len(got) == 0 || got[0] != example() {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		rule, err := learn.Find(got[0], secret)
		if err != nil || rule.Text() != (pandapon.SignRule{}).Text() {
			t.Errorf("%s: %s, %v", name, rule.Text(), err)
		}
	}
	headers := "Signature:E17D79E164582800C6EC688859D955AF\nAccess-Key: k"
	got, err := learn.Read([]byte(headers), uploadPath)
	if err != nil || got[0] != (learn.Request{AccessKey: "k", Signature: example().Signature}) {
		t.Errorf("headers: %+v, %v", got, err)
	}
}

func TestReadsShellsWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`-H 'signature: a"b'`: `a"b`, `-H "signature: a'\"\\\$\b"`: `a'"\$\b`, `-H signature:\ a\'b`: `a'b`,
		"-H \"signature: a\\\nb\"": "ab", "-H signature:a\\\r\nb": "ab", `-H $'signature: \'\u00e9\t\\\q'`: "'é\t\\\\q",
		`-H 'signature: open`: "open", `-H sig"nat"'ure':$x`: "$x", "\\\n-H\\\n signature:x": "x", `-H '' -H signature:y`: "y",
		`--header signature:z#;-H signature:no`: "z#", `-d H -H 'signature: e'`: "e",
	} {
		got, err := learn.Read([]byte("curl "+in), uploadPath)
		if err != nil || got[0].Signature != want {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestReadTellsThatNothingIsSigned(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"", "{}", "[]", `{"log":{"entries":[]}}`, "curl", "curl -H", "curl --header 'signature;'", "signature", "GET / HTTP/1.1\n\nsignature: x", "-H 'signature: x'",
	} {
		if got, err := learn.Read([]byte(file), uploadPath); !errors.Is(err, learn.ErrUnsigned) {
			t.Errorf("%q: %+v, %v", file, got, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, file := range files() {
		f.Add([]byte(file))
	}
	f.Add([]byte(`curl $'\`))
	f.Add([]byte(`curl "\`))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := learn.Read(file, uploadPath)
		if (err == nil) != (len(got) > 0) {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, r := range got {
			if r.Signature == "" || len(r.Signature) > 3*len(file) {
				t.Fatalf("%+v", r)
			}
		}
	})
}
