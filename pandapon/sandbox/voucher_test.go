package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// receive hands body to a fresh sandbox without a network between.
func receive(t *testing.T, body io.Reader) sandbox.Request {
	t.Helper()
	s := sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{account()}})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, uploadPath, body)
	r.Header = headers(time.Now())
	s.ServeHTTP(httptest.NewRecorder(), r)
	return s.Requests()[0]
}

func TestReadsBodies(t *testing.T) {
	t.Parallel()
	voucher := []byte{0xfb, 0xff, 0xbf, 0xfe, 1} // "+/+//gE=": every odd character
	cases := map[string]struct {
		body string
		code int
	}{
		"documented order":    {`{"base64":"+/+//gE=","orderId":"1"}`, 200},
		"order id first":      {`{"orderId":"1","base64":"+/+//gE="}`, 200},
		"blanks":              {"\n{ \"base64\" :\t\"+/+//gE=\" , \"orderId\" : \"1\" }\n", 200},
		"escaped slashes":     {`{"base64":"+\/+\/\/gE=","orderId":"1"}`, 200},
		"escaped code points": {`{"base64":"\u002B\u002f\u002b//gE\u003D","orderId":"1"}`, 200},
		"unknown fields":      {`{"x":{"base64":[1,"}"]},"base64":"+/+//gE=","y":"a\"b,:{","orderId":"1"}`, 200},
		"empty object":        {`{}`, sandbox.CodeBadVoucher},
		"nothing":             {``, sandbox.CodeBadBody},
		"null":                {`null`, sandbox.CodeBadBody},
		"array":               {`["base64"]`, sandbox.CodeBadBody},
		"not JSON":            {`base64=eA==&orderId=1`, sandbox.CodeBadBody},
		"trailing text":       {`{"base64":"eA==","orderId":"1"} {}`, sandbox.CodeBadBody},
		"ends in base64":      {`{"orderId":"1","base64":"eA==`, sandbox.CodeBadBody},
		"ends in an escape":   {`{"orderId":"1","base64":"eA==\u00`, sandbox.CodeBadBody},
		"ends in a backslash": {`{"orderId":"1","base64":"eA==\`, sandbox.CodeBadBody},
		"ends in a string":    {`{"base64":"eA==","orderId":"1`, sandbox.CodeBadBody},
		"no base64":           {`{"orderId":"1"}`, sandbox.CodeBadVoucher},
		"base64 null":         {`{"base64":null,"orderId":"1"}`, sandbox.CodeBadVoucher},
		"base64 empty":        {`{"base64":"","orderId":"1"}`, sandbox.CodeBadVoucher},
		"base64 twice":        {`{"base64":"eA==","base64":"eA==","orderId":"1"}`, sandbox.CodeBadVoucher},
		"base64 below":        {`{"a":{"base64":"eA=="},"orderId":"1"}`, sandbox.CodeBadVoucher},
		"base64 as a value":   {`{"a":"base64","orderId":"1"}`, sandbox.CodeBadVoucher},
		"no padding":          {`{"base64":"eA","orderId":"1"}`, sandbox.CodeBadVoucher},
		"URL alphabet":        {`{"base64":"-_-__gE=","orderId":"1"}`, sandbox.CodeBadVoucher},
		"data URI":            {`{"base64":"data:image/png;base64,eA==","orderId":"1"}`, sandbox.CodeBadVoucher},
		"line break":          {`{"base64":"eA=\n=","orderId":"1"}`, sandbox.CodeBadVoucher},
		"raw line break":      {"{\"base64\":\"eA=\n=\",\"orderId\":\"1\"}", sandbox.CodeBadBody},
		"odd code point":      {`{"base64":"eA=\u013d","orderId":"1"}`, sandbox.CodeBadVoucher},
		"bad code point":      {`{"base64":"eA=\u00zz","orderId":"1"}`, sandbox.CodeBadVoucher},
		"no order id":         {`{"base64":"eA=="}`, sandbox.CodeBadOrderID},
		"order id a number":   {`{"base64":"eA==","orderId":1022505290408395575}`, sandbox.CodeBadOrderID},
		"order id null":       {`{"base64":"eA==","orderId":null}`, sandbox.CodeBadOrderID},
		"order id empty":      {`{"base64":"eA==","orderId":""}`, sandbox.CodeBadOrderID},
		"too much beside":     {`{"base64":"eA==","x":"` + strings.Repeat("x", 64<<10) + `","orderId":"1"}`, sandbox.CodeBadBody},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := receive(t, iotest.OneByteReader(strings.NewReader(c.body)))
			if got.Code != c.code || got.Accepted != (c.code == 200) || !got.Complete {
				t.Errorf("logged %+v, want code %d", got, c.code)
			}
			if c.code == 200 && (got.SHA256 != sum(voucher) || got.Size != int64(len(voucher)) || got.OrderID != "1") {
				t.Errorf("logged %+v, want the voucher's digest and order 1", got)
			}
		})
	}
}

func TestLogsACutOffUpload(t *testing.T) {
	t.Parallel()
	whole := uploadBody(orderID, bytes.Repeat([]byte("receipt"), 20_000))
	for name, cut := range map[string]string{
		"in the voucher": whole[:len(whole)/2],
		"in the order":   whole[:len(whole)-5],
		"after a brace":  whole[:1],
		"in an escape":   `{"base64":"e\u00`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Config{}, sandbox.Fault{Kind: sandbox.Outage})
			body := io.MultiReader(strings.NewReader(cut), iotest.ErrReader(io.ErrNoProgress))
			a := b.call(t.Context(), http.MethodPost, uploadPath, headers(time.Now()), body)
			if a.err == nil && a.status != http.StatusBadRequest {
				t.Errorf("answer %d: %s", a.status, a.body)
			}
			got := b.only(t)
			if got.Complete || got.Accepted || got.Fault != "" || got.SHA256 != "" || got.Problem != "the body did not arrive whole" {
				t.Errorf("logged %+v", got)
			}
		})
	}
}

// Vouchers pass through: what is allocated does not follow their size.
func TestMemoryDoesNotGrowWithTheVoucher(t *testing.T) { //nolint:paralleltest // counts the allocations of the whole process
	const size = 48 << 20
	pass := func() sandbox.Request {
		voucher := strings.NewReader(`{"base64":"`)
		rest := strings.NewReader(`","orderId":"1"}`)
		return receive(t, io.MultiReader(voucher, io.LimitReader(letters{}, size), rest))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := pass()
	runtime.ReadMemStats(&after)
	if !got.Accepted || got.Size != size/4*3 {
		t.Fatalf("logged %+v", got)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("%d bytes allocated for a voucher of %d, want at most 1 MiB", allocated, got.Size)
	}
}

// letters is base64 text without end.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	return len(p), nil
}

// The streaming reader must agree with encoding/json and encoding/base64, which hold all in memory.
func FuzzBodyAgreesWithTheStandardLibrary(f *testing.F) {
	for _, seed := range []string{
		`{"base64":"eA==","orderId":"1"}`, `{"orderId":"1","base64":"\u002B\/+\/\/gE="}`, `{"base64":"eA==","orderId":1}`,
		`{"a":[{"base64":"x"}],"base64":"e","orderId":"\ud83d"}`, `{"base64":"eA==`, `[`, `}{"base64":"eA==","orderId":"1"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got := receive(t, strings.NewReader(body))
		fields := map[string]json.RawMessage{}
		var text, order *string
		valid := json.Unmarshal([]byte(body), &fields) == nil &&
			json.Unmarshal(fields["base64"], &text) == nil && text != nil &&
			json.Unmarshal(fields["orderId"], &order) == nil && order != nil && *order != ""
		if got.Accepted && !valid {
			t.Fatalf("accepted %q", body)
		}
		// Keys that repeat or hold escapes are not worth agreeing about, and the decoder lets line
		// breaks pass.
		if !valid || strings.Count(body, "base64") != 1 || !strings.Contains(body, `"base64"`) || strings.ContainsAny(*text, "\r\n") || len(body) > 60_000 {
			return
		}
		voucher, err := base64.StdEncoding.Strict().DecodeString(*text)
		if want := err == nil && len(voucher) > 0; got.Accepted != want {
			t.Fatalf("accepted %t, want %t: %q (%s)", got.Accepted, want, body, got.Problem)
		}
		if got.Accepted && (got.SHA256 != sum(voucher) || got.Size != int64(len(voucher))) {
			t.Fatalf("digest %s of %d bytes, want %s of %d", got.SHA256, got.Size, sum(voucher), len(voucher))
		}
	})
}

func BenchmarkUpload(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			body := uploadBody(orderID, make([]byte, size))
			s := sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{account()}, MaxRequests: 100})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, uploadPath, strings.NewReader(body))
				r.Header = headers(time.Now())
				s.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

// TestLogsAnUploadThatEndsEarly sends less than it has announced.
func TestLogsAnUploadThatEndsEarly(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	whole := uploadBody(orderID, bytes.Repeat([]byte("receipt"), 20_000))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+uploadPath, strings.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = headers(time.Now())
	text, err := httputil.DumpRequestOut(req, true)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", req.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(text[:len(text)/2]); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := b.only(t); got.Complete || got.Accepted || got.Problem != "the body did not arrive whole" {
		t.Errorf("logged %+v", got)
	}
}
