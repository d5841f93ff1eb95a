package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// fuzzed is a gateway without a network: the handler alone, on a real Redis.
type fuzzed struct {
	*gateway.Gateway

	bundle *bundle
}

func fuzzedGateway(f *testing.F, base string) fuzzed {
	f.Helper()
	b := &bundle{t: f, ctx: f.Context(), account: redistest.Account(f), rdb: redistest.Client(f)}
	b.store = blob.NewRedis(b.rdb)
	b.tasks = tasks.New(tasks.Config{Redis: b.rdb, Store: b.store})
	g, err := gateway.New(gateway.Config{
		Tasks: b.tasks, Store: b.store,
		Accounts: []dropin.Account{{
			Name: b.account, BaseURL: base, Credentials: pandapon.Credentials{AccessKey: accessKey, Secret: secret, UserID: userID},
		}},
	})
	b.must(err)
	return fuzzed{Gateway: g, bundle: b}
}

func (g fuzzed) post(t *testing.T, path string, header http.Header, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	r.RequestURI, r.URL.Path, r.Host, r.RemoteAddr = path, path, "localhost", "127.0.0.1:1"
	r.Header = header
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code >= http.StatusInternalServerError && w.Code != http.StatusBadGateway {
		t.Fatalf("answer %d %s", w.Code, w.Body)
	}
	return w
}

// holds checks that an accepted upload has this order and these bytes.
func (g fuzzed) holds(t *testing.T, id, order string, voucher []byte) {
	t.Helper()
	u, err := g.bundle.tasks.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.bundle.store.Open(t.Context(), blob.Entry{Key: u.StoreKey, Size: u.Size, SHA256: u.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	all, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(all, voucher) || u.OrderID != order {
		t.Fatalf("stored %q for %q, want %q for %q (%v)", all, u.OrderID, voucher, order, err)
	}
}

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
	v := b64(png("seed", 61))
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
	g := fuzzedGateway(f, "")
	jsonSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		w := g.post(t, "/v1/uploads", http.Header{"Content-Type": {"application/json"}}, body)
		order, voucher, ok := reference(body)
		switch {
		case w.Code >= http.StatusMultipleChoices:
		case !ok:
			t.Fatalf("took what is not right: %q", body)
		default:
			var u ledger.Upload
			if err := json.Unmarshal(w.Body.Bytes(), &u); err != nil {
				t.Fatal(err)
			}
			g.holds(t, u.ID, order, voucher)
		}
	})
}

func FuzzForm(f *testing.F) {
	g := fuzzedGateway(f, "")
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
		w := g.post(t, "/v1/uploads", http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, body)
		if w.Code >= http.StatusMultipleChoices {
			return
		}
		form, err := multipart.NewReader(bytes.NewReader(body), "x").ReadForm(1 << 20)
		if err != nil {
			t.Fatalf("took what is not right: %v", err)
		}
		if len(form.Value["orderId"]) != 1 {
			t.Fatalf("took %v", form.Value)
		}
		var voucher []byte
		if files := form.File["voucher"]; len(files) == 1 {
			r, err := files[0].Open()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			if voucher, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		} else {
			voucher = []byte(form.Value["voucher"][0])
		}
		var u ledger.Upload
		if err := json.Unmarshal(w.Body.Bytes(), &u); err != nil {
			t.Fatal(err)
		}
		g.holds(t, u.ID, form.Value["orderId"][0], voucher)
	})
}

func FuzzDropIn(f *testing.F) {
	u := newUpstream(f, nil)
	g := fuzzedGateway(f, u.url)
	v := b64(png("seed", 61))
	good := fmt.Sprintf(`{"base64":%q,"orderId":"1"}`, v)
	for _, path := range []string{uploadPath, "/open/x", "/v2/../x", "/alibaba//x", "/open/order/upload/payCertificate/"} {
		f.Add(path, accessKey, "nonce-str", userID, int64(0), true, []byte(good))
		f.Add(path, accessKey, "nonce-str", userID, int64(0), false, []byte(good))
		f.Add(path, accessKey, "", "", int64(-601), true, []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, path, key, nonce, user string, off int64, right bool, body []byte) {
		if !strings.HasPrefix(path, "/open/") && !strings.HasPrefix(path, "/v2/") && !strings.HasPrefix(path, "/alibaba/") {
			return
		}
		used := secret
		if !right {
			used = "wrong"
		}
		off %= 1 << 30
		h := sign(key, used, user, nonce, time.Now().Add(time.Duration(off)*time.Second))
		before := len(u.all())
		w := g.post(t, path, h, body)
		passed := len(u.all()) > before
		may := right && key == accessKey && off > -601 && off < 601
		if (passed || w.Code < http.StatusMultipleChoices) && !may {
			t.Fatalf("passed %v, answer %d, without a right signature", passed, w.Code)
		}
		if path != uploadPath || w.Code >= http.StatusMultipleChoices {
			return
		}
		order, voucher, ok := reference(body)
		var e envelope
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || !ok || e.Code != http.StatusOK || passed {
			t.Fatalf("took %q: %s", body, w.Body)
		}
		g.holds(t, e.RequestID, order, voucher)
	})
}
