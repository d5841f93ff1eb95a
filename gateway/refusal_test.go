package gateway_test

import (
	"fmt"
	"strings"
	"testing"
)

// refusal is a request that must leave nothing behind.
type refusal struct {
	name, path, kind string
	body             func(b *bundle) (contentType string, body []byte)
	status           int
	says             string
}

func text(contentType, body string) func(*bundle) (string, []byte) {
	return func(*bundle) (string, []byte) { return contentType, []byte(body) }
}

func jsonBody(format string, args ...any) func(*bundle) (string, []byte) {
	return text("application/json", fmt.Sprintf(format, args...))
}

func parts(ps ...part) func(*bundle) (string, []byte) {
	return func(b *bundle) (string, []byte) { return b.form(ps...) }
}

func refusals() []refusal {
	v := png("v", 100)
	exe := append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)
	file, order := part{name: "voucher", file: v}, part{name: "orderId", value: "1"}
	const up, q = "/v1/uploads", "/v1/uploads?orderId=1"
	field, malformed, large, kind, voucher := "invalid-field", "malformed-body", "too-large", "unsupported-media-type", "unsupported-voucher"
	return []refusal{
		{"raw: empty", q, field, text("image/png", ""), 422, "empty"},
		{"raw: executable", q, voucher, text("image/png", string(exe)), 415, "looks like"},
		{"raw: text", q, voucher, text("application/octet-stream", "#!/bin/sh\necho"), 415, "looks like"},
		{"raw: too large", q, large, text("image/png", string(png("v", maxVoucher+1))), 413, "larger"},
		{"raw: much too large", q, large, text("image/png", string(png("v", maxVoucher+200_000))), 413, "larger"},
		{"raw: no order", up, field, text("image/png", string(v)), 422, "orderId"},
		{"raw: odd order", up + "?orderId=..%2f..%2fx", field, text("image/png", string(v)), 422, "orderId"},
		{"raw: order with a line break", up + "?orderId=1%0a2", field, text("image/png", string(v)), 422, "orderId"},
		{"raw: order of 65 characters", up + "?orderId=" + strings.Repeat("1", 65), field, text("image/png", string(v)), 422, "orderId"},
		{"raw: order twice", up + "?orderId=1&orderId=2", field, text("image/png", string(v)), 422, "more than once"},
		{"raw: unknown parameter", up + "?orderId=1&oder=2", field, text("image/png", string(v)), 422, "not a parameter"},
		{"raw: broken query", up + "?orderId=%zz", field, text("image/png", string(v)), 422, "query"},
		{"raw: unknown account", q + "&account=nobody", field, text("image/png", string(v)), 422, "nobody would deliver"},
		{"raw: odd user", q + "&userId=a%20b", field, text("image/png", string(v)), 422, "userId"},
		{"raw: odd reference", q + "&reference=a%00b", field, text("image/png", string(v)), 422, "reference"},
		{"raw: odd flag", q + "&again=maybe", field, text("image/png", string(v)), 422, "again"},
		{"content type: none", q, kind, text("", string(v)), 415, "multipart/form-data"},
		{"content type: text", q, kind, text("text/plain", string(v)), 415, "multipart/form-data"},
		{"content type: curl's own", q, kind, text("application/x-www-form-urlencoded", string(v)), 415, "multipart/form-data"},
		{"content type: nonsense", q, kind, text(";;", string(v)), 415, "multipart/form-data"},
		{"form: no boundary", q, malformed, text("multipart/form-data", "x"), 400, "boundary"},
		{"form: not one", q, malformed, text("multipart/form-data; boundary=x", "hello"), 400, "form"},
		{"form: cut off", q, malformed, text("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"voucher\"\r\n\r\n"+string(v)), 400, ""},
		{"form: no end", q, malformed, text("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"voucher\"\r\n\r\n"+string(v)+"\r\n--x\r\n"), 400, "form"},
		{"form: no file", up, field, parts(order), 422, "voucher"},
		{"form: no order", up, field, parts(file), 422, "orderId"},
		{"form: empty file", up, field, parts(order, part{name: "voucher", file: []byte{}}), 422, "empty"},
		{"form: executable", up, voucher, parts(part{name: "voucher", file: exe}, order), 415, "looks like"},
		{"form: too large", up, large, parts(order, part{name: "voucher", file: png("v", maxVoucher+1)}), 413, "larger"},
		{"form: two files", up, field, parts(order, file, file), 422, "more than once"},
		{"form: two orders", q, field, parts(order, file), 422, "more than once"},
		{"form: unknown field", up, field, parts(order, part{name: "oder", value: "1"}, file), 422, "not a field"},
		{"form: long field", up, field, parts(part{name: "reference", value: strings.Repeat("x", 5000)}, order, file), 422, "too long"},
		{"form: long headers", q, malformed, text("multipart/form-data; boundary=x", "--x\r\nA: "+strings.Repeat("x", 60_000)+"\r\n\r\nv\r\n--x--\r\n"), 400, "beside"},
		{"JSON: empty", up, malformed, jsonBody(""), 400, "not a JSON object"},
		{"JSON: list", up, malformed, jsonBody("[]"), 400, "not a JSON object"},
		{"JSON: cut off", up, malformed, jsonBody(`{"orderId":"1","base64":"%s`, b64(v)), 400, "cut off"},
		{"JSON: cut off behind", up, malformed, jsonBody(`{"orderId":"1","base64":"%s"`, b64(v)), 400, "cut off"},
		{"JSON: two objects", up, malformed, jsonBody(`{"orderId":"1","base64":"%s"}{}`, b64(v)), 400, "follows"},
		{"JSON: no comma", up, malformed, jsonBody(`{"orderId":"1" "base64":"%s"}`, b64(v)), 400, "not a JSON object"},
		{"JSON: trailing comma", up, malformed, jsonBody(`{"orderId":"1","base64":"%s",}`, b64(v)), 400, "not a JSON object"},
		{"JSON: order is a number", up, field, jsonBody(`{"base64":"%s","orderId":1022505290408395575}`, b64(v)), 422, "send it as a string"},
		{"JSON: order is null", up, field, jsonBody(`{"base64":"%s","orderId":null}`, b64(v)), 422, "orderId"},
		{"JSON: order is a list", up, field, jsonBody(`{"base64":"%s","orderId":["1"]}`, b64(v)), 422, "not a string"},
		{"JSON: order twice", up, field, jsonBody(`{"orderId":"1","base64":"%s","orderId":"2"}`, b64(v)), 422, "more than once"},
		{"JSON: no order", up, field, jsonBody(`{"base64":"%s"}`, b64(v)), 422, "orderId"},
		{"JSON: no base64", up, field, jsonBody(`{"orderId":"1"}`), 422, "base64"},
		{"JSON: base64 empty", up, field, jsonBody(`{"orderId":"1","base64":""}`), 422, "empty"},
		{"JSON: base64 null", up, field, jsonBody(`{"orderId":"1","base64":null}`), 422, "not a string"},
		{"JSON: base64 twice", up, field, jsonBody(`{"orderId":"1","base64":"%s","base64":"%s"}`, b64(v), b64(v)), 422, "more than once"},
		{"JSON: data URI", up, field, jsonBody(`{"orderId":"1","base64":"data:image/png;base64,%s"}`, b64(v)), 422, "data:"},
		{"JSON: not base64", up, field, jsonBody(`{"orderId":"1","base64":"%s*"}`, b64(v)), 422, "base64"},
		{"JSON: url-safe base64", up, field, jsonBody(`{"orderId":"1","base64":"%s_-"}`, b64(v[:99])), 422, "base64"},
		{"JSON: half a character", up, field, jsonBody(`{"orderId":"1","base64":"%sA"}`, b64(v[:99])), 422, "middle"},
		{"JSON: padding within", up, field, jsonBody(`{"orderId":"1","base64":"iVBORw==%s"}`, b64(v)), 422, "base64"},
		{"JSON: control character", up, malformed, jsonBody("{\"orderId\":\"1\",\"base64\":\"%s\n\"}", b64(v)), 400, ""},
		{"JSON: executable", up, voucher, jsonBody(`{"orderId":"1","base64":"%s"}`, b64(exe)), 415, "looks like"},
		{"JSON: too large", up, large, jsonBody(`{"orderId":"1","base64":"%s"}`, b64(png("v", maxVoucher+1))), 413, "larger"},
		{"JSON: unknown field", up, field, jsonBody(`{"orderId":"1","oder":"2","base64":"%s"}`, b64(v)), 422, "not a field"},
		{"JSON: much beside", up, malformed, jsonBody(`{"orderId":"%s","base64":"%s"}`, strings.Repeat("1", 100_000), b64(v)), 400, "beside"},
		{"JSON: flag is text", up, field, jsonBody(`{"orderId":"1","again":"yes","base64":"%s"}`, b64(v)), 422, "again"},
		{"JSON: not UTF-8", up, malformed, jsonBody("{\"orderId\":\"1\",\"reference\":\"\xff\",\"base64\":\"%s\"}", b64(v)), 400, ""},
	}
}

// maxVoucher is what refusals are tried with; a whole 10 MiB is tried elsewhere.
const maxVoucher = 300 << 10

func smallVouchers(b *bundle) { b.cfg.MaxVoucherBytes = maxVoucher }

func TestRefusalsAreClearAndStoreNothing(t *testing.T) {
	t.Parallel()
	for _, r := range refusals() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, smallVouchers)
			contentType, body := r.body(b)
			if says := b.send(b.producer, r.path, contentType, body).problem(r.status, r.kind); !strings.Contains(says, r.says) {
				t.Errorf("says %q, want %q in it", says, r.says)
			}
			b.empty()
		})
	}
}
