package pandapon_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/voucherd/voucherd/pandapon"
)

// fields are the documented ones, as the documented example has them.
func fields() map[string]string {
	return map[string]string{
		"requestId": `"0a4495c23d6d433480d071a1cc308369"`,
		"code":      `200`,
		"developId": `"1021091489188413467"`,
		"msg":       `"成功"`,
		"data":      `true`,
	}
}

func object(fields map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, fmt.Sprintf("%q:%s", name, fields[name]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// flat gives an envelope's fields by their names on the wire.
func flat(e pandapon.Envelope) map[string]string {
	return map[string]string{
		"requestId": e.RequestID, "code": e.Code, "developId": e.DevelopID, "msg": e.Msg, "data": string(e.Data),
	}
}

func TestEnvelopeDocumented(t *testing.T) {
	t.Parallel()
	got, err := pandapon.ParseEnvelope([]byte(success))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"requestId": "0a4495c23d6d433480d071a1cc308369", "code": "200",
		"developId": "1021091489188413467", "msg": "成功", "data": "true",
	}
	if !maps.Equal(flat(got), want) {
		t.Errorf("got %v, want %v", flat(got), want)
	}
}

// One field at a time is missing, null or of another type; the others must come
// through untouched.
func TestEnvelopeFieldByField(t *testing.T) {
	t.Parallel()
	good, err := pandapon.ParseEnvelope([]byte(object(fields())))
	if err != nil {
		t.Fatal(err)
	}
	variants := map[string]string{ // as sent, and as text of a scalar
		"missing": "", "null": "",
		`""`: "", `"x"`: "x", `" 7 "`: "7", `0`: "0", `-1`: "-1",
		`1022505290408395575`: "1022505290408395575", `9223372036854775808123`: "9223372036854775808123",
		`true`: "true", `false`: "false", `{}`: "", `{"a":1}`: "", `[]`: "", `["200"]`: "",
	}
	for name := range fields() {
		for variant, text := range variants {
			t.Run(name+" "+variant, func(t *testing.T) {
				t.Parallel()
				in := fields()
				in[name] = variant
				want := flat(good)
				want[name] = text
				switch {
				case variant == "missing":
					delete(in, name)
				case name == "code" && (text == "true" || text == "false"):
					want[name] = ""
				case name == "data" && variant != "null":
					want[name] = variant
				}
				got, err := pandapon.ParseEnvelope([]byte(object(in)))
				if err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(flat(got), want) {
					t.Errorf("got %v, want %v", flat(got), want)
				}
			})
		}
	}
}

func TestEnvelopeCode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`200`: "200", `"200"`: "200", `" 200\n"`: "200", `200.0`: "200", `2e2`: "200", `"2E2"`: "200", `20000e-2`: "200",
		`0`: "0", `-3`: "-3", `200.5`: "200.5", `1e400`: "1e400", `1e300`: "1e300", `"SUCCESS"`: "SUCCESS",
		`"a.b"`: "a.b", `"2.0.0"`: "2.0.0", `0.00000000000000000000000000000000000001`: "0.00000000000000000000000000000000000001",
		`1021091489188413467`: "1021091489188413467", `"0200"`: "0200", `""`: "", `true`: "", `null`: "",
	} {
		got, err := pandapon.ParseEnvelope([]byte(`{"code":` + in + `}`))
		if err != nil || got.Code != want {
			t.Errorf("%s: code %q, %v; want %q", in, got.Code, err, want)
		}
	}
}

func TestEnvelopeNotJSON(t *testing.T) {
	t.Parallel()
	for in, part := range map[string]string{
		"": "empty", " \n": "empty", "<html>502</html>": "markup", "null": "another JSON value", "[]": "another JSON value",
		`"text"`: "another JSON value", "200": "another JSON value", "Bad Gateway": "other bytes", "\x1f\x8b\x08": "other bytes",
		`{"code":200`: "malformed", `{"code":200}}`: "malformed", `{"code":200} {}`: "malformed", `{code:200}`: "malformed",
		`{"code":NaN}`: "malformed", "{" + strings.Repeat(`"a":{`, 20000): "malformed",
	} {
		got, err := pandapon.ParseEnvelope([]byte(in))
		if !errors.Is(err, pandapon.ErrNotJSON) || !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("%.40q: error %v, want %q", in, err, part)
		}
		if !maps.Equal(flat(got), flat(pandapon.Envelope{})) {
			t.Errorf("%.40q: envelope %+v beside the error", in, got)
		}
	}
	if _, err := pandapon.ParseEnvelope([]byte("\ufeff" + success + "\r\n")); err != nil {
		t.Errorf("byte order mark and line end: %v", err)
	}
}

func TestEnvelopeTextsAreFitToShow(t *testing.T) {
	t.Parallel()
	blob := strings.Repeat("QUJD", 40)
	for in, want := range map[string]string{
		`"a\r\nb\u0000c\u001b[31md\u0085"`:        "a  b c [31md",
		`"ev\u202eil\u200b\ufeff"`:                "evil",
		`"a\u2028b"`:                              "a b",
		`"\ud800x"`:                               "\ufffdx",
		`"cannot read ` + blob + `== at 1"`:       "cannot read *** at 1",
		`"签名错误 ` + strings.Repeat("a", 64) + `。"`: "签名错误 " + strings.Repeat("a", 64) + "。",
		`"` + strings.Repeat("错", 2000) + `"`:     strings.Repeat("错", 500),
	} {
		got, err := pandapon.ParseEnvelope([]byte(`{"code":1,"msg":` + in + `}`))
		if err != nil || got.Msg != want {
			t.Errorf("%.60s: msg %q, %v; want %q", in, got.Msg, err, want)
		}
	}
	got, err := pandapon.ParseEnvelope([]byte(`{"requestId":"` + strings.Repeat("9", 5000) + `"}`))
	if err != nil || utf8.RuneCountInString(got.RequestID) != 128 {
		t.Errorf("request id of %d runes, %v", utf8.RuneCountInString(got.RequestID), err)
	}
}
