package voucherjson_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/voucherd/voucherd/internal/voucherjson"
)

// read gives an object's members, that of base64 as its text.
func read(body string) (string, error) {
	o, err := voucherjson.Open(iotest.OneByteReader(strings.NewReader(body)))
	if err != nil {
		return "", err
	}
	seen := ""
	for {
		name, err := o.Next()
		if errors.Is(err, io.EOF) {
			return seen, nil
		}
		if err != nil {
			return "", err
		}
		seen += name + "="
		if name == "base64" {
			if text, bad := o.Text(); bad != nil {
				return "", bad
			} else if text != nil {
				b, bad := io.ReadAll(io.LimitReader(text, 20)) // the rest is passed over
				if bad != nil {
					return "", bad
				}
				seen += string(b) + ";"
				continue
			}
		}
		value, err := o.Value()
		if err != nil {
			return "", err
		}
		seen += string(value) + ";"
	}
}

func TestObject(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("A", 100_000)
	for _, c := range []struct {
		body, want string
		err        error
	}{
		{`{}`, "", nil},
		{"{\n \"base64\" :\t\"QUI=\" ,\"a\":[1,\"}\"] }\n", `base64=QUI=;a=[1,"}"];`, nil},
		{`{"base64":"\/\u002B\n\b\u00e9"}`, "base64=/+\n!!;", nil},
		{`{"a":1,"base64":"` + long + `","b":{"base64":"x"}}`, `a=1;base64=` + long[:20] + `;b={"base64":"x"};`, nil},
		{`{"base64":null,"b":2}`, "base64=null;b=2;", nil},
		{`{"base64":"x","base64":"y"}`, "base64=x;base64=y;", nil},
		{`{"a":"` + long + `"}`, "", voucherjson.ErrTooMuch},
		{`{"base64":"x"} {}`, "", voucherjson.ErrTrailing},
		{`{"base64":"x"`, "", voucherjson.ErrSyntax},
		{`{"base64":"x`, "", voucherjson.ErrSyntax},
		{`{"base64" "x"}`, "", voucherjson.ErrSyntax},
		{`{"base64":"x",}`, "", voucherjson.ErrSyntax},
		{"{\"base64\":\"x\n\"}", "", voucherjson.ErrSyntax},
		{`[]`, "", voucherjson.ErrSyntax},
		{``, "", voucherjson.ErrSyntax},
	} {
		if got, err := read(c.body); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%.60s: %.80q, %v, want %.80q, %v", c.body, got, err, c.want, c.err)
		}
	}
}
