package gateway_test

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the API's signature rule is MD5
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/test/redistest"
)

// drop is PandaPon's upload call, as its page has it: base64 first.
func (b *bundle) drop(order string, voucher []byte, header http.Header) call {
	return call{
		method: http.MethodPost, path: uploadPath, header: header,
		body: bytes.NewReader(fmt.Appendf(nil, `{"base64": "%s","orderId": "%s"}`, b64(voucher), order)),
	}
}

func TestDropInIsEnqueued(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := png("x", 5000)
	a := b.do(b.drop("1022505290408395575", v, signed())).want(http.StatusOK)
	e := a.envelope()
	if e.Code != 200 || e.Data != true || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s", a.body)
	}
	u := b.get(b.producer, "/v1/uploads/"+e.RequestID).want(http.StatusOK).upload()
	if u.OrderID != "1022505290408395575" || u.UserID != userID || u.Account != b.account || u.State != "queued" {
		t.Fatalf("%+v", u)
	}
	if !bytes.Equal(b.stored(u.ID), v) {
		t.Fatal("the blob store holds other bytes")
	}
	if len(b.api.Requests()) != 0 {
		t.Fatal("the gateway called the API itself")
	}
	// The same call again, replayed to the letter, is the same upload.
	if again := b.do(b.drop("1022505290408395575", v, signed())).want(http.StatusOK).envelope(); again.RequestID != e.RequestID || again.Code != 200 {
		t.Fatalf("%+v", again)
	}
}

// The project's own client, pointed at the gateway, takes the answer for the API's.
func TestDropInServesPandaPonsClients(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, err := pandapon.NewClient(pandapon.Config{BaseURL: b.url})
	b.must(err)
	defer c.Close()
	v := png("x", 400_000)
	r, err := c.Upload(b.ctx, pandapon.Upload{
		Credentials: pandapon.Credentials{AccessKey: accessKey, Secret: secret, UserID: userID},
		Nonce:       pandapon.NewNonce(), OrderID: "7", Voucher: bytes.NewReader(v), Size: int64(len(v)),
	})
	b.must(err)
	if !bytes.Equal(b.stored(r.RequestID), v) {
		t.Fatal("other bytes")
	}
}

func TestDropInTakesWhatThePageAllows(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Millisecond)
	lower := sign(accessKey, secret, userID, "n", now)
	lower.Set("Signature", strings.ToLower(lower.Get("Signature")))
	charset := signed()
	charset.Set("Content-Type", "application/json;charset=UTF-8")
	for name, h := range map[string]http.Header{
		"no nonce": sign(accessKey, secret, userID, "", now), "a nonce of the page's example": sign(accessKey, secret, userID, "nonce-str", now),
		"600 s ago": sign(accessKey, secret, userID, "n", now.Add(-600*time.Second)), "600 s ahead": sign(accessKey, secret, userID, "n", now.Add(600*time.Second)),
		"lower case": lower, "charset": charset, "another sub-account": sign(accessKey, secret, "42", "n", now),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, at(now))
			b.do(b.drop("1", png("x", 90), h)).want(http.StatusOK)
		})
	}
	t.Run("members that the page does not name", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.drop("1", nil, signed())
		c.body = strings.NewReader(`{"extra":{"base64":["}"],"a":[1,2.5e3,null,true]},"orderId":"1","base64":"` + b64(png("x", 90)) + `","n":null}`)
		b.do(c).want(http.StatusOK)
	})
}

// at stops the clock that signatures are checked by.
func at(now time.Time) option {
	return func(b *bundle) { b.cfg.Now = func() time.Time { return now } }
}

func with(name, value string) http.Header {
	h := signed()
	h.Del(name)
	if value != "" {
		h.Set(name, value)
	}
	return h
}

func doubled(name string) http.Header {
	h := signed()
	h.Add(name, h.Get(name))
	return h
}

// unsigned are headers that no account's secret made, or not now.
func unsigned(now time.Time) map[string]struct {
	header http.Header
	code   int
} {
	type c = struct {
		header http.Header
		code   int
	}
	cases := map[string]c{
		"nothing":        {http.Header{}, dropin.CodeUnsigned},
		"a token":        {http.Header{"Authorization": {"Bearer x"}}, dropin.CodeUnsigned},
		"unknown key":    {sign("00000000000000000000000000000000", secret, userID, "n", now), dropin.CodeUnsigned},
		"other secret":   {sign(accessKey, "wrong", userID, "n", now), dropin.CodeUnsigned},
		"empty secret":   {sign(accessKey, "", userID, "n", now), dropin.CodeUnsigned},
		"other nonce":    {with("Nonce-Str", "other"), dropin.CodeUnsigned},
		"no key":         {with("Access-Key", ""), dropin.CodeUnsigned},
		"no signature":   {with("Signature", ""), dropin.CodeUnsigned},
		"no timestamp":   {with("Timestamp", ""), dropin.CodeUnsigned},
		"short":          {with("Signature", signed().Get("Signature")[:31]), dropin.CodeUnsigned},
		"601 s ago":      {sign(accessKey, secret, userID, "n", now.Add(-601*time.Second)), dropin.CodeTimestamp},
		"601 s ahead":    {sign(accessKey, secret, userID, "n", now.Add(601*time.Second)), dropin.CodeTimestamp},
		"in seconds":     {signedAs(strconv.FormatInt(now.Unix(), 10)), dropin.CodeTimestamp},
		"not a number":   {signedAs("now"), dropin.CodeTimestamp},
		"negative":       {signedAs("-5"), dropin.CodeTimestamp},
		"beyond all":     {signedAs(strings.Repeat("9", 40)), dropin.CodeTimestamp},
		"end of numbers": {signedAs("9223372036854775807"), dropin.CodeTimestamp},
	}
	for _, name := range []string{"Access-Key", "Timestamp", "Signature", "Nonce-Str", "User-Id"} {
		cases["two of "+name] = c{doubled(name), dropin.CodeUnsigned}
	}
	return cases
}

// signedAs signs any timestamp rightly.
func signedAs(stamp string) http.Header {
	sum := md5.Sum([]byte(accessKey + stamp + "n" + secret)) //nolint:gosec // see above
	return http.Header{
		"Access-Key": {accessKey}, "Timestamp": {stamp}, "Nonce-Str": {"n"}, "User-Id": {userID}, "Content-Type": {"application/json"},
		"Signature": {strings.ToUpper(hex.EncodeToString(sum[:]))},
	}
}

func TestUnsignedCallsGetNowhere(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Millisecond)
	b := setup(t, at(now))
	for name, c := range unsigned(now) {
		for _, path := range []string{uploadPath, "/open/order/detail", "/alibaba/x", "/v2/x?y=z"} {
			a := b.do(call{method: http.MethodPost, path: path, header: c.header, body: strings.NewReader(`{"base64":"","orderId":"1"}`)})
			a.want(http.StatusUnauthorized)
			if e := a.envelope(); e.Code != c.code || e.RequestID == "" || !strings.HasPrefix(e.Msg, "voucherd: ") {
				t.Errorf("%s at %s: %s", name, path, a.body)
			}
		}
	}
	if got := b.api.Requests(); len(got) != 0 {
		t.Fatalf("passed on: %+v", got)
	}
	b.must(b.stop()) // it waits for what is learnt of the calls that the account's secret signed in another way
	b.empty("rule")
}

func TestDropInRefusals(t *testing.T) {
	t.Parallel()
	v := png("v", 100)
	exe := append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)
	for name, c := range map[string]struct {
		header       http.Header
		body         string
		status, code int
		says         string
	}{
		"no user-id":      {with("User-Id", ""), fmt.Sprintf(`{"base64":%q,"orderId":"1"}`, b64(v)), 422, dropin.CodeField, "user-id"},
		"odd user-id":     {with("User-Id", "a b"), fmt.Sprintf(`{"base64":%q,"orderId":"1"}`, b64(v)), 422, dropin.CodeField, "userId"},
		"form":            {with("Content-Type", "multipart/form-data; boundary=x"), "--x--", 415, dropin.CodeMediaType, "json"},
		"no content type": {with("Content-Type", ""), "{}", 415, dropin.CodeMediaType, "json"},
		"no body":         {signed(), "", 400, dropin.CodeBody, "JSON"},
		"bad JSON":        {signed(), `{"base64":"`, 400, dropin.CodeBody, "JSON"},
		"no base64":       {signed(), `{"orderId":"1"}`, 422, dropin.CodeField, "base64"},
		"empty base64":    {signed(), `{"orderId":"1","base64":""}`, 422, dropin.CodeField, "empty"},
		"no order":        {signed(), fmt.Sprintf(`{"base64":%q}`, b64(v)), 422, dropin.CodeField, "orderId"},
		"order a number":  {signed(), fmt.Sprintf(`{"base64":%q,"orderId":1022505290408395575}`, b64(v)), 422, dropin.CodeField, "string"},
		"odd order":       {signed(), fmt.Sprintf(`{"base64":%q,"orderId":"../x"}`, b64(v)), 422, dropin.CodeField, "orderId"},
		"data URI":        {signed(), fmt.Sprintf(`{"base64":"data:image/png;base64,%s","orderId":"1"}`, b64(v)), 422, dropin.CodeField, "data:"},
		"executable":      {signed(), fmt.Sprintf(`{"base64":%q,"orderId":"1"}`, b64(exe)), 415, dropin.CodeMediaType, "looks like"},
		"too large":       {signed(), fmt.Sprintf(`{"base64":%q,"orderId":"1"}`, b64(png("v", maxVoucher+1))), 413, dropin.CodeTooLarge, "larger"},
		"much too large":  {signed(), fmt.Sprintf(`{"base64":%q,"orderId":"1"}`, b64(png("v", 3*maxVoucher))), 413, dropin.CodeTooLarge, "larger"},
		"much beside":     {signed(), fmt.Sprintf(`{"x":%q,"orderId":"1"}`, strings.Repeat("y", 70_000)), 400, dropin.CodeBody, "beside"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, smallVouchers)
			a := b.do(call{method: http.MethodPost, path: uploadPath, header: c.header, body: strings.NewReader(c.body)}).want(c.status)
			if e := a.envelope(); e.Code != c.code || !strings.Contains(e.Msg, c.says) {
				t.Errorf("%s, want code %d and %q", a.body, c.code, c.says)
			}
			b.empty()
			if len(b.api.Requests()) != 0 {
				t.Error("passed on")
			}
		})
	}
}

// Two accounts of one account differ by sub-account alone.
func TestAccountIsFoundByKeyAndSubAccount(t *testing.T) {
	t.Parallel()
	second, third := redistest.Account(t), redistest.Account(t)
	b := setup(t, func(b *bundle) {
		other := b.cfg.Accounts[0]
		other.Name, other.Credentials.UserID = second, "42"
		last := dropin.Account{
			Name: third, BaseURL: b.apiURL, UploadPath: "/open/other", Credentials: pandapon.Credentials{AccessKey: "k3", Secret: "s3", UserID: "3"},
		}
		b.cfg.Accounts = append(b.cfg.Accounts, other, last)
	})
	now := time.Now()
	for name, c := range map[string]struct {
		header  http.Header
		path    string
		account string
	}{
		"the first's":     {sign(accessKey, secret, userID, "n", now), uploadPath, b.account},
		"the second's":    {sign(accessKey, secret, "42", "n", now), uploadPath, second},
		"nobody's":        {sign(accessKey, secret, "43", "n", now), uploadPath, b.account},
		"the third's own": {sign("k3", "s3", "3", "n", now), "/open/other", third},
	} {
		drop := b.drop("1", png(name, 90), c.header)
		drop.path = c.path
		e := b.do(drop).want(http.StatusOK).envelope()
		if got := b.get(b.producer, "/v1/uploads/"+e.RequestID).upload(); got.Account != c.account {
			t.Errorf("%s: account %s, want %s", name, got.Account, c.account)
		}
	}
	// One account's upload path is nothing special to another.
	drop := b.drop("1", png("x", 90), signed())
	drop.path = "/open/other"
	b.do(drop)
	if got := b.api.Requests(); len(got) != 1 || got[0].Path != "/open/other" {
		t.Fatalf("%+v", got)
	}
}

func TestSignRuleIsASetting(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		b.cfg.Rule = pandapon.SignRule{
			Parts: []pandapon.SignPart{pandapon.PartSecret, pandapon.PartUserID, pandapon.PartTimestamp}, Unit: pandapon.Seconds,
		}
	})
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	sum := md5.Sum([]byte(secret + "42" + stamp)) //nolint:gosec // see above
	h := http.Header{
		"Access-Key": {accessKey}, "Timestamp": {stamp}, "User-Id": {"42"}, "Content-Type": {"application/json"}, "Signature": {hex.EncodeToString(sum[:])},
	}
	b.do(b.drop("1", png("x", 90), h)).want(http.StatusOK)
	b.do(b.drop("1", png("x", 90), signed())).want(http.StatusUnauthorized)
}

func TestBadAccountsAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := b.cfg.Accounts[0]
	for name, change := range map[string]func(*dropin.Account){
		"base URL": func(l *dropin.Account) { l.BaseURL = "ftp://x" }, "no secret": func(l *dropin.Account) { l.Credentials.Secret = "" },
		"own path": func(l *dropin.Account) { l.UploadPath = "/v1/uploads" }, "root": func(l *dropin.Account) { l.UploadPath = "/" },
	} {
		bad := good
		change(&bad)
		cfg := b.cfg
		cfg.Accounts = []dropin.Account{bad}
		if _, err := gateway.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the secret stands in %v", name, err)
		}
	}
}

// Whatever happens, no secret, token or voucher reaches the log.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := png("sEcReTpIcTuRe", 900)
	for _, d := range intakes() {
		d.send(b, "1", v)
		d.send(b, "", v)
	}
	b.do(b.drop("1", v, sign(accessKey, "wrong", userID, "n", time.Now())))
	b.do(call{method: http.MethodGet, path: "/open/x?access-key=" + accessKey + "&k=qUeRy", header: signed()})
	b.get("voucherd_nonsense", "/v1/accounts")
	b.get("", "/v1/accounts?token="+b.operator)
	b.requestLines(10)
	all := b.logged()
	for name, what := range map[string]string{
		"secret": secret, "producer": b.producer, "operator": b.operator, "voucher": "sEcReTpIcTuRe", "base64": b64(v)[:60], "query": "qUeRy",
		"signature": signed().Get("Signature"), "key": accessKey,
	} {
		if strings.Contains(all, what) {
			t.Errorf("%s stands in the log", name)
		}
	}
}
