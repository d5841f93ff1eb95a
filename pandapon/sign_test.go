package pandapon_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

// The wanted values were computed with coreutils and openssl: printf %s … | md5sum, openssl dgst -hmac.
func TestSignGolden(t *testing.T) {
	t.Parallel()
	type parts = []pandapon.SignPart
	for name, tt := range map[string]struct {
		rule      pandapon.SignRule
		timestamp string
		want      string
	}{
		"default": {
			timestamp: "1715669977082", want: "995B8D171DF3A420B9C791A3349A95FC",
		},
		"default, spelled out": {
			rule:      pandapon.SignRule{Parts: pandapon.DefaultSignParts(), Unit: pandapon.Milliseconds},
			timestamp: "1715669977082", want: "995B8D171DF3A420B9C791A3349A95FC",
		},
		"seconds": {
			rule:      pandapon.SignRule{Unit: pandapon.Seconds},
			timestamp: "1715669977", want: "8DFF1A8889B158DE7F4AFC00A41026AC",
		},
		"secret first": {
			rule:      pandapon.SignRule{Parts: parts{"secret", "access-key", "timestamp", "nonce-str"}},
			timestamp: "1715669977082", want: "5F9107DD9DAA8CA535B18B1F42987E1D",
		},
		"with user": {
			rule:      pandapon.SignRule{Parts: parts{"user-id", "access-key", "timestamp", "secret"}},
			timestamp: "1715669977082", want: "F2A5A6D1B928125F82F008D7FF8B5290",
		},
		"without nonce": {
			rule:      pandapon.SignRule{Parts: parts{"access-key", "timestamp", "secret"}},
			timestamp: "1715669977082", want: "38CD8D3F6BA59837C9645C4F3C3BAEF2",
		},
		"HMAC": {
			rule: pandapon.SignRule{Parts: parts{"access-key", "nonce-str"}, Hash: pandapon.SHA256, HMAC: true, Encoding: pandapon.LowerHex},
			want: "3fdcbb5839ec75b1701f466b30970609653f6cb5038a138c6a76fa5e0b639f6b",
		},
		"joined": {
			rule:      pandapon.SignRule{Parts: parts{"secret", "access-key", "timestamp"}, Hash: pandapon.SHA1, Join: "&"},
			timestamp: "1715669977082", want: "6A81E89B05A63EBA3C7DA5240992B892C37179AE",
		},
		"base64": {
			rule: pandapon.SignRule{Parts: parts{"access-key", "secret"}, Hash: pandapon.SHA512, Encoding: pandapon.Base64, Join: "\n"},
			want: "4dRDkegcEI0LICIok4inkmMUYVbsZbSfD3XEc/gy4zaFXMwCVxR23c6KGoWqb00qlZ1vsMg5LKOhgvxJ9RpeMg==",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.rule.Sign(credentials(), tt.timestamp, testNonce); got != tt.want {
				t.Errorf("signature %s, want %s", got, tt.want)
			}
			if err := tt.rule.Validate(); err != nil {
				t.Errorf("rule refused: %v", err)
			}
		})
	}
}

func TestTimestamp(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 14, 6, 59, 37, 82_000_000, time.UTC)
	for unit, want := range map[pandapon.TimestampUnit]string{
		"":                    "1715669977082",
		pandapon.Milliseconds: "1715669977082",
		pandapon.Seconds:      "1715669977",
	} {
		rule := pandapon.SignRule{Unit: unit}
		got := rule.Timestamp(at)
		if got != want {
			t.Errorf("unit %q: %s, want %s", unit, got, want)
		}
		back, err := rule.ParseTimestamp(got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := at.Sub(back); diff < 0 || diff >= time.Second {
			t.Errorf("unit %q: %s came back as %s", unit, at, back)
		}
		for _, bad := range []string{"", "-1", "+1", " 1", "1.5", "0x10", "99999999999999999999", "now"} {
			if _, err := rule.ParseTimestamp(bad); err == nil {
				t.Errorf("unit %q: %q was taken for a timestamp", unit, bad)
			}
		}
	}
}

func TestParseSignRule(t *testing.T) {
	t.Parallel()
	got, err := pandapon.ParseSignRule("access-key, timestamp ,nonce-str,secret")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, pandapon.SignRule{Parts: pandapon.DefaultSignParts()}) {
		t.Errorf("got %+v", got)
	}
	got, err = pandapon.ParseSignRule("timestamp; hmac-sha256 lower-hex  join=;&")
	want := pandapon.SignRule{
		Parts: []pandapon.SignPart{"timestamp"}, Hash: pandapon.SHA256, HMAC: true, Encoding: pandapon.LowerHex, Join: ";&",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for in, part := range map[string]string{
		"":                         "unknown sign part",
		"access-key,,secret":       "unknown sign part",
		"access-key,password":      `"password"`,
		"secret,secret":            "twice",
		"access-key,timestamp":     "need the secret",
		"timestamp; sha1":          "need the secret",
		"Access-Key,secret":        "unknown sign part",
		"access-key;secret":        `unknown word "secret"`,
		"user-id,user-id,":         "twice",
		"nonce-str,secret,nope":    `"nope"`,
		"secret; MD5":              `unknown word "MD5"`,
		"secret; hmac-base64":      `unknown word "hmac-base64"`,
		"secret; md5 hmac-md5":     "one more",
		"secret; base64 lower-hex": "one more",
		"secret; join=a join=b":    "one more",
		"secret; join=":            "needs a text",
	} {
		if _, err := pandapon.ParseSignRule(in); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: error %v, want one with %q", in, err, part)
		}
	}
}

func TestSignRuleTextIsReadBack(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"access-key,timestamp,nonce-str,secret", "secret", "timestamp; hmac-md5", "secret,user-id; sha1", "secret,user-id; join=space",
		"secret,user-id; hmac-sha512 base64 join=newline", "secret,nonce-str; lower-hex join=;",
	} {
		r, err := pandapon.ParseSignRule(text)
		if err != nil || r.Text() != text {
			t.Errorf("%q became %q, %v", text, r.Text(), err)
		}
	}
	if got := (pandapon.SignRule{}).Text(); got != "access-key,timestamp,nonce-str,secret" {
		t.Errorf("the default rule is %q", got)
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	for text, exact := range map[string]bool{"secret": false, "secret; lower-hex": false, "secret; base64": true} {
		r, err := pandapon.ParseSignRule(text)
		if err != nil {
			t.Fatal(err)
		}
		right := r.Sign(credentials(), "1", "n")
		for _, s := range []string{strings.ToLower(right), strings.ToUpper(right)} {
			if s != right && r.Fits(s, credentials(), "1", "n") == exact {
				t.Errorf("%s: %s for %s", text, s, right)
			}
		}
		if !r.Fits(right, credentials(), "1", "n") || r.Fits(right[1:], credentials(), "1", "n") || r.Fits("", credentials(), "1", "n") {
			t.Errorf("%s: %s", text, right)
		}
	}
}

func TestParseTimestampUnit(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]pandapon.TimestampUnit{"ms": pandapon.Milliseconds, " s ": pandapon.Seconds} {
		if got, err := pandapon.ParseTimestampUnit(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "us", "MS", "seconds"} {
		if got, err := pandapon.ParseTimestampUnit(in); err == nil {
			t.Errorf("%q was taken as %q", in, got)
		}
	}
}

func TestRuleValidateReportsEveryFault(t *testing.T) {
	t.Parallel()
	err := pandapon.SignRule{Parts: []pandapon.SignPart{"timestamp"}, Hash: "crc", Encoding: "morse", Unit: "days"}.Validate()
	for _, fault := range []string{"secret", "crc", "morse", "days"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("got %v, want %s in it", err, fault)
		}
	}
	if err := (pandapon.SignRule{}).Validate(); err != nil {
		t.Errorf("the default rule is refused: %v", err)
	}
}

func TestNonce(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen := map[string]bool{}
	for range 1000 {
		nonce := pandapon.NewNonce()
		if !shape.MatchString(nonce) {
			t.Fatalf("nonce %q", nonce)
		}
		if seen[nonce] {
			t.Fatalf("nonce %q came twice", nonce)
		}
		seen[nonce] = true
	}
}
