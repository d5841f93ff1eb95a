package learn_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/learn"
)

const secret = "3f1d5c9a7b2e4860917c5d3e8f0a6b42"

func hexText(r *rand.Rand) string { return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()) }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func hashes() []pandapon.SignHash {
	return []pandapon.SignHash{pandapon.MD5, pandapon.SHA1, pandapon.SHA256, pandapon.SHA512}
}

func encodings() []pandapon.SignEncoding {
	return []pandapon.SignEncoding{pandapon.UpperHex, pandapon.LowerHex, pandapon.Base64}
}

// randomRule gives any rule that the settings can name.
func randomRule(r *rand.Rand) pandapon.SignRule {
	all := append(pandapon.DefaultSignParts(), pandapon.PartUserID)
	for {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		rule := pandapon.SignRule{
			Parts: all[:1+r.IntN(len(all))], Hash: pick(r, hashes()...), HMAC: pick(r, false, true),
			Encoding: pick(r, encodings()...), Join: pick(r, learn.Joins()...), Unit: pick(r, pandapon.Milliseconds, pandapon.Seconds),
		}
		if len(rule.Parts) == 1 {
			rule.Join = ""
		}
		if rule.Validate() == nil {
			return rule
		}
	}
}

// randomRequest is signed by a rule.
func randomRequest(r *rand.Rand, rule pandapon.SignRule) (learn.Request, pandapon.Secret) {
	c := pandapon.Credentials{AccessKey: hexText(r), Secret: pandapon.Secret(hexText(r)), UserID: strconv.FormatUint(1e12+r.Uint64N(9e12), 10)}
	at := rule.Timestamp(time.Unix(1_600_000_000+r.Int64N(300_000_000), r.Int64N(1e9)))
	nonce := hexText(r)
	return learn.Request{
		AccessKey: c.AccessKey, Timestamp: at, Nonce: nonce, UserID: c.UserID, Signature: rule.Sign(c, at, nonce),
	}, c.Secret
}

// The promise: any rule that can be set is found from one request, in less than 50 ms.
func TestFindsEveryRule(t *testing.T) {
	t.Parallel()
	rules := int64(500)
	if testing.CoverMode() != "" { // `make cover`
		rules = 10_000
	}
	var next atomic.Int64
	var took atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := next.Add(1); i <= rules && !t.Failed(); i = next.Add(1) {
				r := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // the same rules each time
				rule := randomRule(r)
				request, secret := randomRequest(r, rule)
				began := time.Now()
				got, err := learn.Find(request, secret)
				took.Add(int64(time.Since(began)))
				if err != nil || !reflect.DeepEqual(got, rule) {
					t.Errorf("rule %d: found %+v, %v; want %+v", i, got, err, rule)
				}
				back, err := pandapon.ParseSignRule(got.Text())
				if err != nil || back.Sign(pandapon.Credentials{Secret: "s"}, "1", "n") != rule.Sign(pandapon.Credentials{Secret: "s"}, "1", "n") {
					t.Errorf("rule %d: %q is read as %+v, %v", i, got.Text(), back, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%v each", time.Duration(took.Load()/rules))
}

// The other promise: no rule is found where there is none.
func TestFindsNoRuleForRandomSignatures(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	request, secret := randomRequest(r, pandapon.SignRule{})
	bits := rand.NewChaCha8([32]byte{})
	for _, hash := range hashes() {
		digests := map[string]bool{}
		form := pandapon.SignRule{Hash: hash}
		request.Signature = form.Sign(pandapon.Credentials{}, "", "")
		for d := range learn.Digests(request, secret) {
			digests[string(d)] = true
		}
		if len(digests) < 5000 {
			t.Fatalf("only %d rules are tried", len(digests))
		}
		random := make([]byte, len(request.Signature)/2)
		for range 250_000 {
			_, _ = bits.Read(random) // it never fails
			if digests[string(random)] {
				t.Fatalf("a rule was found for %x", random)
			}
		}
		request.Signature = fmt.Sprintf("%X", random)
		_, err := learn.Find(request, secret)
		if none, ok := errors.AsType[*learn.NoRuleError](err); !ok || none.Tried < len(digests) || none.Hash != hash {
			t.Errorf("%s: %v", hash, err)
		}
	}
}

func TestWrongSecretFindsNoRule(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	request, right := randomRequest(r, pandapon.SignRule{})
	_, err := learn.Find(request, secret)
	if err == nil || !strings.Contains(err.Error(), "access-key, timestamp, nonce-str, secret, user-id") || !strings.Contains(err.Error(), "hmac-md5 in upper-hex") {
		t.Errorf("%v", err)
	}
	for _, hidden := range []string{secret, right.Reveal(), request.AccessKey, request.Signature} {
		if strings.Contains(fmt.Sprint(err), hidden) {
			t.Errorf("%q stands in %v", hidden, err)
		}
	}
}

func TestRequestWithoutNonce(t *testing.T) {
	t.Parallel()
	c := pandapon.Credentials{AccessKey: "key", Secret: secret}
	for text, want := range map[string]string{
		"access-key,timestamp,nonce-str,secret": "access-key,timestamp,nonce-str,secret", // what is documented has it
		"secret,nonce-str,access-key,timestamp": "secret,access-key,timestamp",
	} {
		rule, err := pandapon.ParseSignRule(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := learn.Find(learn.Request{AccessKey: "key", Timestamp: "1715669977082", Signature: rule.Sign(c, "1715669977082", "")}, secret)
		if err != nil || got.Text() != want {
			t.Errorf("%s: found %s, %v", text, got.Text(), err)
		}
	}
}

func TestUnitIsThatOfTheTimestamp(t *testing.T) {
	t.Parallel()
	for stamp, want := range map[string]pandapon.TimestampUnit{"1715669977": "s", "1715669977082": "ms", "0": "s", "99999999999": "s", "100000000000": "ms"} {
		sign := pandapon.SignRule{}.Sign(pandapon.Credentials{AccessKey: "k", Secret: secret}, stamp, "n")
		got, err := learn.Find(learn.Request{AccessKey: "k", Timestamp: stamp, Nonce: "n", Signature: sign}, secret)
		if err != nil || got.Unit != want {
			t.Errorf("%s: %q, %v", stamp, got.Unit, err)
		}
	}
}

func TestRequestThatTellsNothing(t *testing.T) {
	t.Parallel()
	good := learn.Request{AccessKey: "k", Timestamp: "1", Signature: "995B8D171DF3A420B9C791A3349A95FC"}
	for want, change := range map[string]func(*learn.Request){
		"access-key":         func(r *learn.Request) { r.AccessKey = "" },
		"needs the timest":   func(r *learn.Request) { r.Timestamp = "" },
		"must be a number":   func(r *learn.Request) { r.Timestamp = "2024-05-14" },
		"must be a num":      func(r *learn.Request) { r.Timestamp = "99999999999999999999" },
		"(it has 31 char":    func(r *learn.Request) { r.Signature = r.Signature[1:] },
		"(it has 0 charact":  func(r *learn.Request) { r.Signature = "" },
		"(it has 32 charact": func(r *learn.Request) { r.Signature = "aB" + r.Signature[2:] },
	} {
		bad := good
		change(&bad)
		if _, err := learn.Find(bad, secret); !errors.Is(err, learn.ErrRequest) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := learn.Find(good, ""); !errors.Is(err, learn.ErrRequest) {
		t.Errorf("without a secret: %v", err)
	}
}

func BenchmarkFind(b *testing.B) {
	for _, hash := range hashes() {
		b.Run("none/"+string(hash), func(b *testing.B) {
			r := rand.New(rand.NewPCG(4, 4))
			request, _ := randomRequest(r, pandapon.SignRule{Hash: hash})
			for b.Loop() {
				if _, err := learn.Find(request, secret); err == nil {
					b.Fatal("found")
				}
			}
		})
	}
}
