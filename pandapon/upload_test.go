package pandapon_test

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the API's signature rule is MD5
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

// What leaves is checked byte by byte, below net/http's server, which would
// forgive the case of a header.
func TestUploadOnTheWire(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 14, 6, 59, 37, 82_000_000, time.UTC)
	voucher := picture(5)
	wire := make(chan string, 1)
	server := listen(t, func(p *peer) {
		var raw bytes.Buffer
		p.in.Reset(io.TeeReader(p.TCPConn, &raw))
		if p.request() != nil {
			wire <- raw.String()
		}
		p.say("HTTP/1.1 200 OK\r\nDate: Tue, 14 May 2024 06:59:40 GMT\r\nContent-Length: " +
			strconv.Itoa(len(success)) + "\r\n\r\n" + success)
	})
	client := newClient(t, server.URL+"/prefix/", func(cfg *pandapon.Config) {
		cfg.UserAgent, cfg.Now = "tester/1", func() time.Time { return at.Add(-time.Minute) }
	})
	u := uploadOf(voucher)
	u.Skew = time.Minute
	got, err := client.Upload(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"base64":"` + base64.StdEncoding.EncodeToString(voucher) + `","orderId":"` + testOrder + `"}`
	head, sent, _ := strings.Cut(<-wire, "\r\n\r\n")
	if sent != body {
		t.Errorf("body %s, want %s", sent, body)
	}
	lines := strings.Split(head, "\r\n")
	if want := "POST /prefix/open/order/upload/payCertificate HTTP/1.1"; lines[0] != want {
		t.Errorf("request line %q, want %q", lines[0], want)
	}
	want := map[string]bool{
		"Host: " + server.Addr: true, "User-Agent: tester/1": true, "Content-Type: application/json": true,
		"Accept: application/json": true, "Content-Length: " + strconv.Itoa(len(body)): true,
		"access-key: " + testKey: true, "timestamp: 1715669977082": true, "nonce-str: " + testNonce: true,
		"user-id: " + testUser: true, "signature: 995B8D171DF3A420B9C791A3349A95FC": true,
	}
	for _, line := range lines[1:] {
		if !want[line] {
			t.Errorf("unexpected header %q", line)
		}
		delete(want, line)
	}
	if len(want) > 0 {
		t.Errorf("missing headers %v", want)
	}
	if got.HTTPStatus != 200 || got.Timestamp != "1715669977082" || got.RequestID != "0a4495c23d6d433480d071a1cc308369" ||
		got.Code != pandapon.CodeSuccess || string(got.Data) != "true" || !got.Date.Equal(at.Truncate(time.Second).Add(3*time.Second)) {
		t.Errorf("receipt %+v", got)
	}
}

// received is what an independent reading of an upload gives.
type received struct {
	OrderID string `json:"orderId"`
	Base64  string `json:"base64"`
	sum     string
	length  int64
	signed  bool
}

// recorder keeps every upload it gets and answers with success.
func recorder(t *testing.T) (string, func() []received) {
	t.Helper()
	var mu sync.Mutex
	var all []received
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var got received
		if err == nil {
			err = json.Unmarshal(raw, &got)
		}
		var voucher []byte
		if err == nil {
			voucher, err = base64.StdEncoding.Strict().DecodeString(got.Base64)
		}
		if err != nil || int64(len(raw)) != r.ContentLength {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		got.sum, got.length = fmt.Sprintf("%x", sha256.Sum256(voucher)), r.ContentLength
		h := r.Header
		joined := h.Get("access-key") + h.Get("timestamp") + h.Get("nonce-str") + testSecret
		got.signed = h.Get("signature") == fmt.Sprintf("%X", md5.Sum([]byte(joined))) //nolint:gosec // as above
		mu.Lock()
		all = append(all, got)
		mu.Unlock()
		_, _ = io.WriteString(w, success)
	})
	return server.URL, func() []received {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestUploadArrivesByteForByte(t *testing.T) {
	t.Parallel()
	readers := map[string]func(io.Reader) io.Reader{
		"at once":        func(r io.Reader) io.Reader { return r },
		"half":           iotest.HalfReader,
		"end with data":  iotest.DataErrReader,
		"one byte":       iotest.OneByteReader,
		"empty reads":    func(r io.Reader) io.Reader { return &hesitant{r: r} },
		"without a Seek": func(r io.Reader) io.Reader { return io.LimitReader(r, 1<<40) },
	}
	const chunk = 24 << 10
	for name, wrap := range readers {
		for _, size := range []int{0, 1, 2, 3, 4, 1000, chunk - 1, chunk, chunk + 1, 2*chunk + 2, 300_000} {
			t.Run(name+" "+strconv.Itoa(size), func(t *testing.T) {
				t.Parallel()
				url, got := recorder(t)
				voucher := picture(size)
				u := upload(wrap(bytes.NewReader(voucher)), int64(size))
				if _, err := newClient(t, url).Upload(t.Context(), u); err != nil {
					t.Fatal(err)
				}
				all := got()
				if len(all) != 1 || !all[0].signed || all[0].sum != fmt.Sprintf("%x", sha256.Sum256(voucher)) || all[0].OrderID != testOrder {
					t.Errorf("server got %d uploads: signed, order and sum as sent? %+v", len(all), all)
				}
			})
		}
	}
}

// hesitant gives nothing on every second read.
type hesitant struct {
	r    io.Reader
	rest bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.rest = !h.rest; h.rest {
		return 0, nil
	}
	return h.r.Read(p)
}

func TestUploadEscapesTheOrderID(t *testing.T) {
	t.Parallel()
	for _, order := range []string{
		testOrder, `a"b\c`, "<b>&amp;", "订单一", "a\u2028b", "tab\tnul\x00", "\U0001F9FE", strings.Repeat(`"`, 500),
	} {
		t.Run(order[:1], func(t *testing.T) {
			t.Parallel()
			url, got := recorder(t)
			u := uploadOf(picture(100))
			u.OrderID = order
			if _, err := newClient(t, url).Upload(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			if all := got(); len(all) != 1 || all[0].OrderID != order {
				t.Errorf("got %+v, want order id %q", all, order)
			}
		})
	}
}

func TestUploadsShareConnections(t *testing.T) {
	t.Parallel()
	const conns, rounds = 4, 25
	server := listen(t, func(p *peer) {
		for p.request() != nil {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(success)) + "\r\n\r\n" + success)
		}
	})
	client := newClient(t, server.URL, func(cfg *pandapon.Config) { cfg.MaxConns = conns })
	var all sync.WaitGroup
	for range conns {
		all.Go(func() {
			for range rounds {
				if _, err := client.Upload(t.Context(), uploadOf(picture(50_000))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := server.whole.Load(); n != conns*rounds {
		t.Errorf("%d requests on the wire for %d uploads", n, conns*rounds)
	}
	// A connection may be found busy a moment too long; as many as requests
	// would mean that none is kept.
	if n := server.conns.Load(); n > 3*conns {
		t.Errorf("%d connections for %d callers", n, conns)
	}
}

func TestRequestIsWhatUploadSends(t *testing.T) {
	t.Parallel()
	client := newClient(t, "https://api.example.com", func(cfg *pandapon.Config) {
		cfg.UploadPath = "/v2/upload"
		cfg.Now = func() time.Time { return time.UnixMilli(1715669977082) }
	})
	u := upload(nil, 3)
	u.OrderID = `x"y`
	got, err := client.Request(u)
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodPost || got.URL != "https://api.example.com/v2/upload" || got.Timestamp != "1715669977082" {
		t.Errorf("got %+v", got)
	}
	if body := got.BodyBefore + "AAAA" + got.BodyAfter; body != `{"base64":"AAAA","orderId":"x\"y"}` {
		t.Errorf("body %s", body)
	}
	names := make([]string, 0, len(got.Headers))
	for _, h := range got.Headers {
		names = append(names, h.Name)
		if strings.Contains(h.Value, testSecret) {
			t.Errorf("header %s shows the secret", h.Name)
		}
	}
	if s := strings.Join(names, " "); s != "access-key timestamp nonce-str user-id signature Accept User-Agent Content-Type" {
		t.Errorf("headers %s", s)
	}
}
