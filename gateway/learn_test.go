package gateway_test

import (
	"encoding/json"
	"html"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

// signedBy are the headers of a call signed by a rule.
func (b *bundle) signedBy(text string, unit pandapon.TimestampUnit, secret pandapon.Secret, now time.Time) http.Header {
	b.t.Helper()
	rule, err := pandapon.ParseSignRule(text)
	b.must(err)
	rule.Unit = unit
	c := pandapon.Credentials{AccessKey: accessKey, Secret: secret, UserID: userID}
	h := sign(accessKey, "", userID, pandapon.NewNonce(), now)
	h.Set("Timestamp", rule.Timestamp(now))
	h.Set("Signature", rule.Sign(c, rule.Timestamp(now), h.Get("Nonce-Str")))
	return h
}

type learntRule struct {
	Account       string    `json:"account"`
	SignParts     string    `json:"signParts"`
	TimestampUnit string    `json:"timestampUnit"`
	SeenAt        time.Time `json:"seenAt"`
}

func (b *bundle) learnt() []learntRule {
	b.t.Helper()
	var all struct {
		LearntRules []learntRule `json:"learntRules"`
	}
	b.must(json.Unmarshal(b.get(b.producer, "/v1/accounts").want(http.StatusOK).body, &all))
	return all.LearntRules
}

// A call that another rule signed is refused like any other, and tells people which settings would
// have accepted it.
func TestRefusedCallTellsItsRule(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]learntRule{
		"other order":  {SignParts: "secret,timestamp,access-key,nonce-str", TimestampUnit: "ms"},
		"other method": {SignParts: "nonce-str,timestamp; hmac-sha256 lower-hex join=&", TimestampUnit: "s"},
		"other unit":   {SignParts: "access-key,timestamp,nonce-str,secret", TimestampUnit: "s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now().Truncate(time.Millisecond)
			b := setup(t, at(now))
			h := b.signedBy(want.SignParts, pandapon.TimestampUnit(want.TimestampUnit), secret, now)
			refused := b.do(b.drop("1", png("x", 90), h)).want(http.StatusUnauthorized).envelope()
			b.eventually("the rule", func() bool { return len(b.learnt()) > 0 })
			want.Account, want.SeenAt = b.account, now
			if got := b.learnt()[0]; !got.SeenAt.Equal(now) || got.SignParts != want.SignParts || got.TimestampUnit != want.TimestampUnit || got.Account != b.account {
				t.Errorf("learnt %+v, want %+v", got, want)
			}
			page := html.UnescapeString(string(b.get(b.producer, "/").want(http.StatusOK).body))
			for _, text := range []string{b.account, "PANDAPON_SIGN_PARTS=" + want.SignParts, "PANDAPON_TIMESTAMP_UNIT=" + want.TimestampUnit} {
				if !strings.Contains(page, text) {
					t.Errorf("%s is not on the page", text)
				}
			}
			again := b.do(b.drop("1", png("x", 90), h)).want(http.StatusUnauthorized).envelope()
			if again.Code != refused.Code || again.Msg != refused.Msg {
				t.Errorf("now the caller hears %+v, before %+v", again, refused)
			}
			b.must(b.stop())
			noted, seen, err := b.tasks.SignRule(b.ctx, b.account)
			if err != nil || noted.Parts != want.SignParts || noted.Unit != want.TimestampUnit || !seen.Equal(now) {
				t.Errorf("noted %+v at %s, %v", noted, seen, err)
			}
			lines := b.logs.FilterMessage("signature.learnt").All()
			if len(lines) != 1 || lines[0].ContextMap()["sign_parts"] != want.SignParts || lines[0].ContextMap()["timestamp_unit"] != want.TimestampUnit {
				t.Errorf("logged %+v", lines)
			}
			if strings.Contains(b.logged(), secret) || strings.Contains(b.logged(), accessKey) {
				t.Error("secret or access key stand in the log")
			}
		})
	}
}

func TestNothingIsLearntFromOtherCalls(t *testing.T) {
	t.Parallel()
	const rule = "secret,access-key,timestamp,nonce-str"
	for name, change := range map[string]func(b *bundle, h http.Header, now time.Time) http.Header{
		"wrong secret": func(b *bundle, _ http.Header, now time.Time) http.Header { return b.signedBy(rule, "ms", "wrong", now) },
		"unknown key": func(_ *bundle, h http.Header, _ time.Time) http.Header {
			h.Set("Access-Key", "unknown")
			return h
		},
		"clock": func(b *bundle, _ http.Header, now time.Time) http.Header {
			return b.signedBy("access-key,timestamp,nonce-str,secret", "ms", secret, now.Add(time.Hour))
		},
		"long": func(_ *bundle, h http.Header, _ time.Time) http.Header {
			h.Set("Nonce-Str", strings.Repeat("n", 2000))
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, now := setup(t), time.Now()
			h := change(b, b.signedBy(rule, "ms", secret, now), now)
			b.do(b.drop("1", png("x", 90), h)).want(http.StatusUnauthorized)
			b.must(b.stop()) // it waits for the search
			if lines := b.logs.FilterMessage("signature.learnt").All(); len(lines) > 0 {
				t.Errorf("logged %+v", lines)
			}
		})
	}
}

// Whoever knows an access key must not be able to keep the gateway busy.
func TestLearningIsSeldom(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var later atomic.Int64
	clock := func() time.Time { return start.Add(time.Duration(later.Load())) }
	b := setup(t, func(b *bundle) { b.cfg.Now = clock })
	refuse := func(secret pandapon.Secret) {
		b.do(b.drop("1", png("x", 90), b.signedBy("secret,timestamp", "ms", secret, clock()))).want(http.StatusUnauthorized)
	}
	refuse("wrong")
	later.Store(int64(10*time.Second) - 1)
	for range 20 {
		refuse(secret)
	}
	if got := b.learnt(); len(got) > 0 {
		t.Errorf("learnt %+v too soon", got)
	}
	later.Store(int64(10 * time.Second))
	b.eventually("the rule", func() bool {
		refuse(secret)
		return len(b.learnt()) > 0
	})
}
