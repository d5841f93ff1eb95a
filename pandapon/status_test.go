package pandapon_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
)

// byOrder answers with the HTTP status that the order id names.
func byOrder(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var got struct {
			OrderID string `json:"orderId"`
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			http.Error(w, "unreadable", http.StatusTeapot)
			return
		}
		status, err := strconv.Atoi(got.OrderID)
		if err != nil {
			http.Error(w, "not a status", http.StatusTeapot)
			return
		}
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		answer(status, body)(w, r)
	}
}

// Every status, with an envelope that claims success, one that refuses, and
// something else.
func TestEveryStatus(t *testing.T) {
	t.Parallel()
	const refusal = `{"requestId":"r1","code":4001,"developId":7,"msg":"wrong order"}`
	for name, body := range map[string]string{"success": success, "refusal": refusal, "markup": "<html>", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, serve(t, byOrder(body)).URL)
			for status := 200; status <= 599; status++ {
				u := uploadOf(picture(30))
				u.OrderID = strconv.Itoa(status)
				receipt, err := client.Upload(t.Context(), u)
				checkStatus(t, name, status, receipt, err)
			}
		})
	}
}

func checkStatus(t *testing.T, body string, status int, receipt pandapon.Receipt, err error) {
	t.Helper()
	bodiless := status == http.StatusNoContent || status == http.StatusNotModified
	var want pandapon.Kind
	var cause error
	switch {
	case status >= 400:
		want = pandapon.Answered
	case status >= 300:
		want, cause = pandapon.NoAnswer, pandapon.ErrRedirect
	case bodiless || body == "markup" || body == "nothing":
		want, cause = pandapon.NoAnswer, pandapon.ErrNotJSON
	case body == "refusal":
		want = pandapon.Answered
	}
	if want == 0 {
		if err != nil || receipt.HTTPStatus != status || receipt.Code != pandapon.CodeSuccess || receipt.RequestID == "" || receipt.Date.IsZero() {
			t.Errorf("%d: receipt %+v, %v", status, receipt, err)
		}
		return
	}
	failed := failure(t, err, want)
	if failed.HTTPStatus != status || !strings.Contains(err.Error(), "HTTP "+strconv.Itoa(status)) {
		t.Errorf("%d: status %d in %v", status, failed.HTTPStatus, err)
	}
	if !errors.Is(err, cause) && cause != nil {
		t.Errorf("%d: %v is not %v", status, err, cause)
	}
	readable := !bodiless && (body == "success" || body == "refusal")
	if readable != (failed.Envelope.Code != "") || readable != (failed.Envelope.RequestID != "") {
		t.Errorf("%d: envelope %+v", status, failed.Envelope)
	}
	if fmt.Sprintf("%+v", receipt) != fmt.Sprintf("%+v", pandapon.Receipt{}) {
		t.Errorf("%d: receipt %+v beside an error", status, receipt)
	}
}

// A status that HTTP does not define is no success.
func TestStatusBeyondHTTP(t *testing.T) {
	t.Parallel()
	for _, status := range []int{600, 799, 999} {
		_, err := newClient(t, serve(t, answer(status, success)).URL).Upload(t.Context(), uploadOf(picture(1)))
		if failed := failure(t, err, pandapon.Answered); failed.HTTPStatus != status {
			t.Errorf("status %d, want %d", failed.HTTPStatus, status)
		}
	}
}

// The envelope decides a 2xx: each field missing, null or of another type.
func TestUploadByEnvelope(t *testing.T) {
	t.Parallel()
	for name := range fields() {
		for _, variant := range []string{"missing", "null", `""`, `"200"`, "200", "201", `"x"`, "true", "{}", "[]"} {
			t.Run(name+" "+variant, func(t *testing.T) {
				t.Parallel()
				in := fields()
				if in[name] = variant; variant == "missing" {
					delete(in, name)
				}
				server := serve(t, answer(http.StatusOK, object(in)))
				_, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(10)))
				switch {
				case name != "code" || variant == "200" || variant == `"200"`:
					if err != nil {
						t.Errorf("%v", err)
					}
				case variant == "201" || variant == `"x"`:
					if failed := failure(t, err, pandapon.Answered); failed.HTTPStatus != http.StatusOK {
						t.Errorf("status %d", failed.HTTPStatus)
					}
				default:
					if failure(t, err, pandapon.NoAnswer); !errors.Is(err, pandapon.ErrNoCode) {
						t.Errorf("%v is not ErrNoCode", err)
					}
				}
			})
		}
	}
}

func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	padded := func(size int) string {
		frame := `{"code":200,"data":""}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", size-len(frame))+`"`, 1)
	}
	receipt, err := newClient(t, serve(t, answer(200, padded(limit))).URL).Upload(t.Context(), uploadOf(picture(1)))
	if err != nil || len(receipt.Data) < limit-100 {
		t.Errorf("just 1 MiB: %d bytes of data, %v", len(receipt.Data), err)
	}
	_, err = newClient(t, serve(t, answer(200, padded(limit+1))).URL).Upload(t.Context(), uploadOf(picture(1)))
	if failed := failure(t, err, pandapon.NoAnswer); failed.HTTPStatus != 200 || !errors.Is(err, pandapon.ErrTooLarge) {
		t.Errorf("a byte more: %v", err)
	}
	_, err = newClient(t, serve(t, answer(500, padded(limit+1))).URL).Upload(t.Context(), uploadOf(picture(1)))
	if failed := failure(t, err, pandapon.Answered); failed.HTTPStatus != 500 {
		t.Errorf("500: %v", err)
	}
}

// A server without an end must not keep the caller.
func TestAnswerEndless(t *testing.T) {
	t.Parallel()
	server := listen(t, func(p *peer) {
		if p.request() == nil {
			return
		}
		p.say("HTTP/1.1 200 OK\r\n\r\n{")
		_, _ = io.Copy(p.TCPConn, zeros{})
	})
	_, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(1)))
	if failure(t, err, pandapon.NoAnswer); !errors.Is(err, pandapon.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// What a server quotes of our request stays out of errors and receipts.
func TestServerQuotesTheRequest(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 401} {
		for _, code := range []string{"4003", "200"} {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				raw, _ := io.ReadAll(r.Body)
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]string{
					"code": code, "requestId": "r-" + r.Header.Get("access-key"),
					"msg": fmt.Sprintf("bad key %s with signature %s in %s",
						r.Header.Get("access-key"), r.Header.Get("signature"), raw),
				})
			})
			receipt, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(3000)))
			text := fmt.Sprintf("%+v %v", receipt, err)
			if !strings.Contains(text, "bad key *** with signature *** in") {
				t.Errorf("got %s", text)
			}
			for _, hidden := range []string{testKey, testSecret, "AAAAAAAAAAAA"} {
				if strings.Contains(text, hidden) {
					t.Errorf("shows %s: %s", hidden, text)
				}
			}
		}
	}
}
