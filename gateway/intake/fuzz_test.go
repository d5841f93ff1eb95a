package intake_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime/multipart"
	"strings"
	"testing"
)

// reference reads a body as encoding/json does.
func reference(body []byte) (order string, voucher []byte, ok bool) {
	var m struct {
		Order   *string `json:"orderId"`
		Voucher *string `json:"base64"`
	}
	if json.Unmarshal(body, &m) != nil || m.Order == nil || m.Voucher == nil {
		return "", nil, false
	}
	text := strings.NewReplacer("\r", "", "\n", "").Replace(*m.Voucher)
	voucher, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return *m.Order, voucher, err == nil
}

func jsonSeeds(f *testing.F) {
	f.Helper()
	v := base64.StdEncoding.EncodeToString(png("seed", 61))
	for _, s := range []string{
		`{"orderId":"1","base64":"` + v + `"}`, `{"base64":"` + strings.ReplaceAll(v, "/", `\/`) + `","orderId":"1"}`,
		`{"base64":"` + v[:20] + `\r\n` + v[20:] + `\u003d","orderId":"1"}`, `{"orderId":1,"base64":"` + v + `"}`, `{"a":{"b":[1,"}"]},"orderId":"1","base64":"` + v + `"}`,
		`{}`, `{"base64":"data:image/png;base64,` + v + `"}`, `{"orderId":"1","base64":"` + v, "\xef\xbb\xbf{}", `{"orderId":"\u0031","base64":"` + strings.TrimRight(v, "=") + `"}`,
		`{"orderId":"1","base64":"` + v + `","again":true,"replace":false,"reference":"x","userId":"2","account":null}`,
	} {
		f.Add([]byte(s))
	}
}

func FuzzJSON(f *testing.F) {
	jsonSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		b := setup(t)
		if b.take("application/json", body) != nil {
			return
		}
		order, voucher, ok := reference(body)
		if !ok {
			t.Fatalf("took what is not right: %q", body)
		}
		b.holds(order, voucher)
	})
}

func FuzzForm(f *testing.F) {
	one := func(parts ...string) []byte {
		return []byte("--x\r\n" + strings.Join(parts, "\r\n--x\r\n") + "\r\n--x--\r\n")
	}
	file := "Content-Disposition: form-data; name=\"voucher\"; filename=\"v.png\"\r\nContent-Type: image/png\r\n\r\n" + string(png("seed", 61))
	order := "Content-Disposition: form-data; name=\"orderId\"\r\n\r\n1"
	for _, s := range [][]byte{
		one(order, file), one(file, order), one(file), one(file, order, order), one(file+"\r\n--x", order), one("", ""),
		[]byte("--x--"), bytes.TrimSuffix(one(order, file), []byte("--\r\n")), append([]byte("preamble\r\n"), one(order, file)...),
		one(order, strings.Replace(file, "Content-Type", "Content-Transfer-Encoding: quoted-printable\r\nContent-Type", 1)),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := setup(t)
		if b.take("multipart/form-data; boundary=x", body) != nil {
			return
		}
		form, err := multipart.NewReader(bytes.NewReader(body), "x").ReadForm(1 << 20)
		if err != nil {
			t.Fatalf("took what is not right: %v", err)
		}
		if len(form.Value["orderId"]) != 1 {
			t.Fatalf("took %v", form.Value)
		}
		b.holds(form.Value["orderId"][0], voucherOf(t, form))
	})
}

func voucherOf(t *testing.T, form *multipart.Form) []byte {
	t.Helper()
	files := form.File["voucher"]
	if len(files) != 1 {
		return []byte(form.Value["voucher"][0])
	}
	r, err := files[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	voucher, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return voucher
}
