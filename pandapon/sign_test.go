package pandapon_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

// The wanted values were computed with coreutils: printf %s … | md5sum.
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

func TestParseSignParts(t *testing.T) {
	t.Parallel()
	got, err := pandapon.ParseSignParts("access-key, timestamp ,nonce-str,secret")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, pandapon.DefaultSignParts()) {
		t.Errorf("got %v", got)
	}
	for in, part := range map[string]string{
		"":                      "unknown sign part",
		"access-key,,secret":    "unknown sign part",
		"access-key,password":   `"password"`,
		"secret,secret":         "twice",
		"access-key,timestamp":  "need the secret",
		"Access-Key,secret":     "unknown sign part",
		"access-key;secret":     "unknown sign part",
		"user-id,user-id,":      "twice",
		"nonce-str,secret,nope": `"nope"`,
	} {
		if _, err := pandapon.ParseSignParts(in); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: error %v, want one with %q", in, err, part)
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
	err := pandapon.SignRule{Parts: []pandapon.SignPart{"timestamp"}, Unit: "days"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "days") {
		t.Errorf("got %v", err)
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
