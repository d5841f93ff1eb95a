package gateway_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// part is one part of a form; file when it is the voucher.
type part struct {
	name, value string
	file        []byte
}

func (b *bundle) form(parts ...part) (contentType string, body []byte) {
	b.t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, p := range parts {
		if p.file == nil {
			b.must(w.WriteField(p.name, p.value))
			continue
		}
		f, err := w.CreateFormFile(p.name, `..\odd"name.png`)
		b.must(err)
		_, err = f.Write(p.file)
		b.must(err)
	}
	b.must(w.Close())
	return w.FormDataContentType(), out.Bytes()
}

func b64(p []byte) string { return base64.StdEncoding.EncodeToString(p) }

// intake enqueues a voucher by one of the ways there are.
type intake struct {
	name string
	send func(b *bundle, order string, voucher []byte) answer
}

func intakes() []intake {
	return []intake{
		{"raw", func(b *bundle, order string, v []byte) answer {
			return b.send(b.producer, "/v1/uploads?orderId="+order, "image/png", v)
		}},
		{"form", func(b *bundle, order string, v []byte) answer {
			kind, body := b.form(part{name: "orderId", value: order}, part{name: "voucher", file: v})
			return b.send(b.producer, "/v1/uploads", kind, body)
		}},
		{"form, file first", func(b *bundle, order string, v []byte) answer {
			kind, body := b.form(part{name: "voucher", file: v}, part{name: "orderId", value: order})
			return b.send(b.producer, "/v1/uploads", kind, body)
		}},
		{"JSON", func(b *bundle, order string, v []byte) answer {
			return b.send(b.producer, "/v1/uploads", "application/json; charset=utf-8", fmt.Appendf(nil, `{"orderId":%q,"base64":%q}`, order, b64(v)))
		}},
		{"JSON, base64 first", func(b *bundle, order string, v []byte) answer {
			return b.send(b.producer, "/v1/uploads", "application/json", fmt.Appendf(nil, ` { "base64" : %q , "orderId" : %q } `, b64(v), order))
		}},
		{"drop-in", func(b *bundle, order string, v []byte) answer { return b.do(b.drop(order, v, signed())) }},
	}
}

func TestEveryIntakeKeepsEveryByte(t *testing.T) {
	t.Parallel()
	for _, d := range intakes() {
		for _, size := range []int{40, 3071, 3072, 3073, 256<<10 - 1, 256 << 10, 256<<10 + 1, 700_001} {
			t.Run(fmt.Sprintf("%s %d", d.name, size), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				v := png(d.name, size)
				a := d.send(b, "1022505290408395575", v)
				page := b.get(b.producer, "/v1/uploads?account="+b.account).want(http.StatusOK)
				var list struct{ Uploads []ledger.Upload }
				page.read(&list)
				if len(list.Uploads) != 1 || list.Uploads[0].OrderID != "1022505290408395575" || list.Uploads[0].MediaType != "image/png" {
					t.Fatalf("%d %s: %s", a.status, a.body, page.body)
				}
				if !bytes.Equal(b.stored(list.Uploads[0].ID), v) {
					t.Fatal("the blob store holds other bytes")
				}
			})
		}
	}
}

func TestDuplicateIsTheSameUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := png("x", 500)
	first := b.send(b.producer, "/v1/uploads?orderId=5&reference=a+b", "image/png", v).want(http.StatusAccepted)
	u := first.upload()
	if got := first.header.Get("Location"); got != "/v1/uploads/"+u.ID {
		t.Fatalf("Location %q", got)
	}
	if u.Reference != "a b" || u.Account != b.account || u.State != "queued" || u.Duplicate {
		t.Fatalf("%+v", u)
	}
	kind, body := b.form(part{name: "voucher", file: v})
	again := b.send(b.producer, "/v1/uploads?orderId=5", kind, body).want(http.StatusOK)
	if d := again.upload(); d.ID != u.ID || !d.Duplicate {
		t.Fatalf("%+v", d)
	}
	b.get(b.producer, first.header.Get("Location")).want(http.StatusOK)
}

func TestAllFieldsArrive(t *testing.T) {
	t.Parallel()
	want := func(t *testing.T, u ledger.Upload) {
		t.Helper()
		if u.OrderID != "9" || u.UserID != "77" || u.Reference != "Händler №1" {
			t.Errorf("%+v", u)
		}
	}
	b := setup(t)
	kind, body := b.form(
		part{name: "reference", value: "Händler №1"}, part{name: "userId", value: "77"}, part{name: "voucher", file: png("a", 99)},
		part{name: "account", value: b.account}, part{name: "again", value: "false"}, part{name: "orderId", value: "9"})
	want(t, b.send(b.producer, "/v1/uploads", kind, body).want(http.StatusAccepted).upload())
	want(t, b.send(b.producer, "/v1/uploads", "application/json", fmt.Appendf(nil,
		`{"base64":%q,"reference":"H\u00e4ndler №1","userId":"77","orderId":"9","account":%q,"again":false,"replace":null}`, b64(png("b", 99)), b.account)).
		want(http.StatusAccepted).upload())
	want(t, b.send(b.producer, "/v1/uploads?orderId=9&userId=77&reference=H%C3%A4ndler+%E2%84%961&account="+b.account, "application/octet-stream", png("c", 99)).
		want(http.StatusAccepted).upload())
}

func TestReplaceDiscardsWhatWaitsInLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.raw("1", png("a", 90))
	second := b.raw("1", png("b", 90))
	b.send(b.producer, "/v1/uploads?orderId=1&replace=true", "image/png", png("c", 90)).want(http.StatusAccepted)
	if got := b.get(b.producer, "/v1/uploads/"+second.ID).upload(); got.State != "discarded" {
		t.Fatalf("the second is %s", got.State)
	}
}

func TestAgainRevives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.raw("1", png("a", 90))
	b.post(b.operator, "/v1/uploads/"+u.ID+"/discard").want(http.StatusOK)
	b.send(b.producer, "/v1/uploads?orderId=1", "image/png", png("a", 90)).want(http.StatusOK)
	if got := b.send(b.producer, "/v1/uploads?orderId=1&again=true", "image/png", png("a", 90)).want(http.StatusAccepted).upload(); got.ID != u.ID || got.State != "queued" {
		t.Fatalf("%+v", got)
	}
}

// What encoders do to base64 within JSON: escaped slashes, broken lines, no padding.
func TestBase64AsEncodersWriteIt(t *testing.T) {
	t.Parallel()
	v := append(png("slashes", 61), 0xff, 0xff, 0xff, 0xfb, 0xef, 0xbe, 1)
	plain := b64(v)
	lines := strings.Join([]string{plain[:40], plain[40:76], plain[76:]}, `\r\n`)
	for name, text := range map[string]string{
		"plain": plain, "escaped slashes": strings.ReplaceAll(plain, "/", `\/`), "unicode": strings.ReplaceAll(plain, "+", `\u002B`) + `\u000a`,
		"lines": lines, "unpadded": strings.TrimRight(plain, "="),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			u := b.send(b.producer, "/v1/uploads", "application/json", []byte(`{"base64":"`+text+`","orderId":"1"}`)).want(http.StatusAccepted).upload()
			if !bytes.Equal(b.stored(u.ID), v) {
				t.Fatal("other bytes")
			}
		})
	}
}

func TestEncodedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do(call{
		method: http.MethodPost, path: "/v1/uploads?orderId=1", token: b.producer, body: bytes.NewReader(png("x", 90)),
		header: http.Header{"Content-Type": {"image/png"}, "Content-Encoding": {"gzip"}},
	}).problem(http.StatusUnsupportedMediaType, "unsupported-media-type")
}

func TestLargestVoucherPasses(t *testing.T) {
	t.Parallel()
	for _, d := range intakes() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, smallVouchers)
			if a := d.send(b, "1", png("x", maxVoucher)); a.status > http.StatusAccepted {
				t.Fatalf("%d %s", a.status, a.body)
			}
		})
	}
}

func TestFullRedisIs507(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		s := redistest.Start(b.t, redistest.Options{MaxMemory: "8mb"})
		b.rdb = s.Client()
		b.store = blob.NewRedis(b.rdb)
		for i := range 14 {
			b.must(b.rdb.Set(b.ctx, fmt.Sprint("ballast", i), strings.Repeat("x", 400_000), 0).Err())
		}
	})
	for _, d := range intakes() {
		a := d.send(b, "1", png("x", 900)).want(http.StatusInsufficientStorage)
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", d.name)
		}
	}
	b.empty()
}

func TestRedisAwayIs503(t *testing.T) {
	t.Parallel()
	var s *redistest.Server
	b := setup(t, func(b *bundle) {
		s = redistest.Start(b.t, redistest.Options{})
		b.rdb = s.Client()
		b.store = blob.NewRedis(b.rdb)
	})
	id := b.raw("1", png("x", 90)).ID
	s.Kill()
	for _, d := range intakes() {
		a := d.send(b, "2", png("x", 900)).want(http.StatusServiceUnavailable)
		if a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), s.Addr) {
			t.Errorf("%s: %v %s", d.name, a.header, a.body)
		}
	}
	for _, path := range []string{"/v1/uploads", "/v1/accounts", "/v1/uploads/" + id, "/v1/uploads/" + id + "/voucher"} {
		b.get(b.operator, path).problem(http.StatusServiceUnavailable, "store-away")
	}
}
