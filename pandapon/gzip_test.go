package pandapon_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
)

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// We never ask for gzip, but a proxy may pack all it passes on.
func TestPackedAnswer(t *testing.T) {
	t.Parallel()
	bomb := strings.Replace(success, "true", `"`+strings.Repeat("x", 1<<20)+`"`, 1)
	refusal := strings.Replace(success, "200", "4001", 1)
	for name, tt := range map[string]struct {
		status         int
		encoding, body string
		kind           pandapon.Kind
		code           string
		is             error
	}{
		"success":          {status: 200, encoding: "gzip", body: packed(t, success)},
		"other spelling":   {status: 200, encoding: " X-GZIP", body: packed(t, success)},
		"refusal":          {status: 200, encoding: "gzip", body: packed(t, refusal), kind: pandapon.Answered, code: "4001"},
		"status":           {status: 401, encoding: "gzip", body: packed(t, refusal), kind: pandapon.Answered, code: "4001"},
		"bomb":             {status: 200, encoding: "gzip", body: packed(t, bomb), kind: pandapon.NoAnswer, is: pandapon.ErrTooLarge},
		"cut off":          {status: 200, encoding: "gzip", body: packed(t, success)[:60], kind: pandapon.NoAnswer, is: io.ErrUnexpectedEOF},
		"wrong checksum":   {status: 200, encoding: "gzip", body: packed(t, success[:9])[:20] + "12345678", kind: pandapon.NoAnswer},
		"not packed":       {status: 200, encoding: "gzip", body: success},
		"nothing":          {status: 200, encoding: "gzip", kind: pandapon.NoAnswer, is: pandapon.ErrNotJSON},
		"broken, refused":  {status: 403, encoding: "gzip", body: "x", kind: pandapon.Answered},
		"packed otherwise": {status: 200, encoding: "br", body: "x", kind: pandapon.NoAnswer, is: pandapon.ErrNotJSON},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "" {
					t.Error("something packed was asked for")
				}
				w.Header().Set("Content-Encoding", tt.encoding)
				answer(tt.status, tt.body)(w, r)
			})
			receipt, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(9)))
			if tt.kind == 0 {
				if err != nil || receipt.RequestID != "0a4495c23d6d433480d071a1cc308369" {
					t.Errorf("receipt %+v, %v", receipt, err)
				}
				return
			}
			failed := failure(t, err, tt.kind)
			if failed.HTTPStatus != tt.status || failed.Envelope.Code != tt.code {
				t.Errorf("got %+v", failed)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
		})
	}
}
