package dropin_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

const (
	accessKey  = "58c0201dfdf148eca63cbf6bb5e7cf03"
	secret     = "5ec2e75ec2e75ec2e75ec2e75ec2e75e" // #nosec G101 -- a test's own
	userID     = "2100007341207"
	uploadPath = "/open/order/upload/payCertificate"
)

// memory keeps the order of the last voucher.
type memory struct{ order string }

// Enqueue stores a voucher as the queue does; it refuses uploads without an order.
func (m *memory) Enqueue(_ context.Context, r tasks.Request) (ledger.Upload, error) {
	if r.OrderID == "" {
		return ledger.Upload{}, &tasks.InvalidError{Field: "orderId", Reason: "is missing"}
	}
	m.order = r.OrderID
	_, err := io.Copy(io.Discard, r.Voucher)
	return ledger.Upload{ID: "id", OrderID: r.OrderID}, err
}

// fuzzed is a drop-in with an API of its own, which counts the calls that are passed on.
type fuzzed struct {
	*dropin.DropIn

	memory memory
	passed atomic.Int64
}

func newFuzzed(f *testing.F) *fuzzed {
	f.Helper()
	z := &fuzzed{}
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { z.passed.Add(1) }))
	f.Cleanup(api.Close)
	note := func(*http.Request, ledger.Upload) {}
	body := intake.BodyLimits{Grace: time.Minute, Rate: 1, Time: time.Minute}
	in, err := intake.New(intake.Config{
		Tasks: &z.memory, MaxVoucherBytes: 1 << 20, Note: note, By: func(*http.Request) string { return "shop" }, Limits: intake.Limits{Places: 1, Body: body, Store: time.Minute},
	})
	if err != nil {
		f.Fatal(err)
	}
	z.DropIn, err = dropin.New(dropin.Config{
		Accounts: []dropin.Account{{
			Name: "default", BaseURL: api.URL, Credentials: pandapon.Credentials{AccessKey: accessKey, Secret: secret, UserID: userID},
		}},
		Intake: in, Limits: dropin.Limits{Places: 1, Body: body, Bytes: 1 << 20, Pass: time.Minute},
		Now: time.Now, ErrorLog: log.New(io.Discard, "", 0),
		Note: note, Cause: func(*http.Request, error) {}, RequestID: func(*http.Request) string { return "" },
		Learnt: func(dropin.LearntRule) {},
	})
	if err != nil {
		f.Fatal(err)
	}
	return z
}

// post makes a call. No call may lead to a fault of ours.
func (z *fuzzed) post(t *testing.T, path string, header http.Header, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	r.RequestURI, r.URL.Path, r.Header = path, path, header
	w := httptest.NewRecorder()
	z.ServeHTTP(w, r)
	if w.Code >= http.StatusInternalServerError && w.Code != http.StatusBadGateway {
		t.Fatalf("answer %d %s", w.Code, w.Body)
	}
	return w
}

func sign(c pandapon.Credentials, nonce string, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	h := http.Header{
		"Access-Key": {c.AccessKey}, "Timestamp": {stamp}, "User-Id": {c.UserID}, "Content-Type": {"application/json"},
		"Signature": {pandapon.SignRule{}.Sign(c, stamp, nonce)},
	}
	if nonce != "" {
		h.Set("Nonce-Str", nonce)
	}
	return h
}

func FuzzDropIn(f *testing.F) {
	z := newFuzzed(f)
	good := fmt.Sprintf(`{"base64":%q,"orderId":"1"}`, base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")))
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
		h := sign(pandapon.Credentials{AccessKey: key, Secret: pandapon.Secret(used), UserID: user}, nonce, time.Now().Add(time.Duration(off)*time.Second))
		before := z.passed.Load()
		w := z.post(t, path, h, body)
		passed := z.passed.Load() > before
		may := right && key == accessKey && off > -601 && off < 601
		if (passed || w.Code < http.StatusMultipleChoices) && !may {
			t.Fatalf("passed %v, answer %d, without a right signature", passed, w.Code)
		}
		if path != uploadPath || w.Code >= http.StatusMultipleChoices {
			return
		}
		var e struct {
			Code int `json:"code"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Code != http.StatusOK || passed {
			t.Fatalf("took %q: %s", body, w.Body)
		}
		// What a body holds is the matter of intake, and of its own fuzz test.
		var m struct {
			OrderID string `json:"orderId"`
		}
		if err := json.Unmarshal(body, &m); err != nil || z.memory.order != m.OrderID {
			t.Fatalf("stored a voucher for %q out of %q", z.memory.order, body)
		}
	})
}
