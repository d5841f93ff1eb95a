package pandapon_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/voucherd/voucherd/pandapon"
)

func FuzzParseEnvelope(f *testing.F) {
	for _, seed := range []string{
		success, object(fields()), "", "null", "<html>", `{"code":2e2}`, `{"code":"200"}`, `{"code":1e999}`,
		`{"requestId":1021091489188413467,"msg":null,"data":[]}`, `{"msg":"\u001b[31m\ud800"}`, "\ufeff{}",
		`{"code":200,"CODE":201}`, `{"code":{"a":1}}`, `{"msg":"` + strings.Repeat("QUJD", 40) + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := pandapon.ParseEnvelope(raw)
		if err != nil {
			if !errors.Is(err, pandapon.ErrNotJSON) {
				t.Fatalf("%v is not ErrNotJSON", err)
			}
			if len(err.Error()) > 80 {
				t.Fatalf("the error quotes the answer: %v", err)
			}
			return
		}
		for _, text := range []string{got.RequestID, got.Code, got.DevelopID, got.Msg} {
			if utf8.RuneCountInString(text) > 500 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("text %q", text)
			}
		}
		if got.Data != nil && !json.Valid(got.Data) {
			t.Fatalf("data %q", got.Data)
		}
		again, err := json.Marshal(map[string]any{
			"requestId": got.RequestID, "code": got.Code, "developId": got.DevelopID, "msg": got.Msg,
		})
		if err != nil {
			t.Fatal(err)
		}
		back, err := pandapon.ParseEnvelope(again)
		if err != nil || back.RequestID != got.RequestID || back.Code != got.Code || back.DevelopID != got.DevelopID || back.Msg != got.Msg {
			t.Fatalf("%+v came back as %+v, %v", got, back, err)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"", "0", "120", "-1", "1.5", "99999999999999999999", "Sun, 01 Mar 2026 12:01:30 GMT",
		"Sunday, 01-Mar-26 12:01:30 GMT", "Sun Mar  1 12:01:30 2026", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(seed, int64(0))
		f.Add(seed, int64(1772366400))
	}
	f.Fuzz(func(t *testing.T, value string, date int64) {
		var at time.Time
		if date != 0 {
			at = time.Unix(date, 0)
		}
		got, ok := pandapon.ParseRetryAfter(value, at, time.Unix(1772366400, 0))
		if got < 0 || got > 365*24*time.Hour || !ok && got != 0 {
			t.Fatalf("%q: %s, %t", value, got, ok)
		}
	})
}
