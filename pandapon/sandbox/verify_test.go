package sandbox_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func TestAcceptsAVoucherInOrder(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	voucher := []byte("\x89PNG\r\n\x1a\n and so on >>>???")
	h := headers(time.Now())
	a := b.call(t.Context(), http.MethodPost, uploadPath, h, strings.NewReader(uploadBody(orderID, voucher)))
	if a.err != nil || a.status != http.StatusOK {
		t.Fatalf("answer %d, %v: %s", a.status, a.err, a.body)
	}
	for name, form := range map[string]string{
		"requestId": `^"[0-9a-f]{32}"$`, "code": `^200$`, "developId": `^"[1-9][0-9]{18}"$`, "msg": `^"成功"$`, "data": `^true$`,
	} {
		if !regexp.MustCompile(form).Match(a.fields[name]) {
			t.Errorf("%s is %s, want %s", name, a.fields[name], form)
		}
	}
	got := b.only(t)
	if got.At.IsZero() || got.AnsweredAt.Before(got.At) {
		t.Errorf("times: at %s, answered %s", got.At, got.AnsweredAt)
	}
	got.At, got.AnsweredAt = time.Time{}, time.Time{}
	want := sandbox.Request{
		Number: 1, Method: http.MethodPost, Path: uploadPath, AccessKey: accessKey, UserID: userID,
		Nonce: h.Get("nonce-str"), Timestamp: h.Get("timestamp"), OrderID: orderID, SHA256: sum(voucher), Size: int64(len(voucher)),
		Complete: true, Accepted: true, HTTPStatus: http.StatusOK, Code: 200, RequestID: a.text("requestId"),
	}
	if got != want {
		t.Errorf("logged\n%+v, want\n%+v", got, want)
	}
}

// The vector was computed with md5sum, not with Go.
func TestSignatureVector(t *testing.T) {
	t.Parallel()
	sent := time.UnixMilli(1715669977082)
	b := newBox(t, sandbox.Config{Now: func() time.Time { return sent }})
	h := headers(sent)
	h.Set("nonce-str", "0123456789abcdef0123456789abcdef")
	h.Set("signature", "573001FC3EFB338162519B1A4BDB1B87")
	a := b.call(t.Context(), http.MethodPost, uploadPath, h, strings.NewReader(uploadBody(orderID, []byte("x"))))
	if a.status != http.StatusOK {
		t.Errorf("answer %d: %s", a.status, a.body)
	}
}

func TestRefusesCallersNotInOrder(t *testing.T) {
	t.Parallel()
	resign := func(h http.Header) {
		h.Set("signature", sign(h.Get("access-key"), h.Get("timestamp"), h.Get("nonce-str"), secret))
	}
	at := func(off time.Duration) func(http.Header) {
		return func(h http.Header) {
			h.Set("timestamp", strconv.FormatInt(time.Now().Add(off).UnixMilli(), 10))
			resign(h)
		}
	}
	without := func(name string) func(http.Header) { return func(h http.Header) { h.Del(name); resign(h) } }
	cases := map[string]struct {
		spoil        func(http.Header)
		status, code int
		problem      string
	}{
		"no access-key":       {without("access-key"), 400, sandbox.CodeHeaderMissing, "header access-key is missing"},
		"no timestamp":        {without("timestamp"), 400, sandbox.CodeHeaderMissing, "header timestamp is missing"},
		"no nonce-str":        {without("nonce-str"), 400, sandbox.CodeHeaderMissing, "header nonce-str is missing"},
		"no user-id":          {without("user-id"), 400, sandbox.CodeHeaderMissing, "header user-id is missing"},
		"no signature":        {func(h http.Header) { h.Del("signature") }, 400, sandbox.CodeHeaderMissing, "header signature is missing"},
		"unknown key":         {func(h http.Header) { h.Set("access-key", "other"); resign(h) }, 401, sandbox.CodeUnknownKey, "access-key is unknown"},
		"wrong signature":     {func(h http.Header) { h.Set("signature", strings.Repeat("A", 32)) }, 401, sandbox.CodeBadSignature, "signature does not fit"},
		"lower-case":          {func(h http.Header) { h.Set("signature", strings.ToLower(h.Get("signature"))) }, 401, sandbox.CodeBadSignature, "signature does not fit"},
		"nonce not signed":    {func(h http.Header) { h.Set("nonce-str", "another") }, 401, sandbox.CodeBadSignature, "signature does not fit"},
		"other user":          {func(h http.Header) { h.Set("user-id", "1") }, 403, sandbox.CodeUnknownUser, "user-id is not one of this access-key"},
		"timestamp too old":   {at(-11 * time.Minute), 401, sandbox.CodeBadTimestamp, "timestamp is 11m0s off, more than 10m0s"},
		"timestamp too young": {at(12 * time.Minute), 401, sandbox.CodeBadTimestamp, "off, more than 10m0s"},
		"timestamp no number": {func(h http.Header) { h.Set("timestamp", "noon"); resign(h) }, 401, sandbox.CodeBadTimestamp, "timestamp is not of the form"},
		"form, not JSON":      {func(h http.Header) { h.Set("Content-Type", "text/plain") }, 400, sandbox.CodeBadBody, "Content-Type is not application/json"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Config{})
			h := headers(time.Now())
			c.spoil(h)
			a := b.call(t.Context(), http.MethodPost, uploadPath, h, strings.NewReader(uploadBody(orderID, []byte("x"))))
			if a.status != c.status || a.text("code") != strconv.Itoa(c.code) || len(a.text("requestId")) != 32 {
				t.Errorf("answer %d %s, want %d and code %d", a.status, a.body, c.status, c.code)
			}
			got := b.only(t)
			if got.Accepted || !got.Complete || got.Code != c.code || !strings.Contains(got.Problem, c.problem) {
				t.Errorf("logged %+v, want problem %q", got, c.problem)
			}
		})
	}
}

func TestTimestampWindowEdges(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1715669977082)
	cases := map[time.Duration]int{
		-600 * time.Second: 200, 600 * time.Second: 200,
		-600*time.Second - time.Millisecond: 401, 600*time.Second + time.Millisecond: 401,
	}
	b := newBox(t, sandbox.Config{Now: func() time.Time { return now }})
	for off, want := range cases {
		a := b.call(t.Context(), http.MethodPost, uploadPath, headers(now.Add(off)), strings.NewReader(uploadBody(orderID, []byte("x"))))
		if a.status != want {
			t.Errorf("%s off: answer %d, want %d", off, a.status, want)
		}
	}
}

func TestRepeatedNonce(t *testing.T) {
	t.Parallel()
	for _, check := range []bool{false, true} {
		clock := newClock()
		b := newBox(t, sandbox.Config{CheckNonce: check, Now: clock.Now}, sandbox.Fault{Kind: sandbox.Outage, Times: 1})
		h := headers(clock.Now())
		send := func() answer {
			return b.call(t.Context(), http.MethodPost, uploadPath, h, strings.NewReader(uploadBody(orderID, []byte("x"))))
		}
		send() // struck by the outage: the nonce is not used up
		if a := send(); a.status != http.StatusOK {
			t.Fatalf("check %t: first use answered %d: %s", check, a.status, a.body)
		}
		want := http.StatusOK
		if check {
			want = http.StatusUnauthorized
		}
		if a := send(); a.status != want {
			t.Errorf("check %t: second use answered %d, want %d: %s", check, a.status, want, a.body)
		}
	}
}

func TestNonceIsRememberedAsLongAsItsTimestampIsGood(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{CheckNonce: true, Now: clock.Now})
	h := headers(clock.Now().Add(599 * time.Second))
	for i, want := range []int{200, 401, 401} {
		a := b.call(t.Context(), http.MethodPost, uploadPath, h, strings.NewReader(uploadBody(orderID, []byte("x"))))
		if a.status != want || want == 401 && a.text("code") != strconv.Itoa(sandbox.CodeNonceRepeated) {
			t.Errorf("call %d answered %d %s, want %d", i, a.status, a.body, want)
		}
		clock.Advance(598 * time.Second)
	}
}

func TestAccountsAndRules(t *testing.T) {
	t.Parallel()
	rule := pandapon.SignRule{
		Parts: []pandapon.SignPart{pandapon.PartSecret, pandapon.PartUserID, pandapon.PartNonce},
		Unit:  pandapon.Seconds,
	}
	b := newBox(t, sandbox.Config{Rule: rule, Credentials: []pandapon.Credentials{
		{AccessKey: accessKey, Secret: "other", UserID: "1"},
		{AccessKey: accessKey, Secret: secret}, // any sub-account
	}})
	for user, want := range map[string]int{"7": 200, "8": 200} {
		h := headers(time.Now())
		h.Set("user-id", user)
		h.Set("timestamp", strconv.FormatInt(time.Now().Unix(), 10))
		h.Set("signature", sign(secret, user, h.Get("nonce-str"), ""))
		a := b.call(t.Context(), http.MethodPost, uploadPath, h, strings.NewReader(uploadBody(orderID, []byte("x"))))
		if a.status != want {
			t.Errorf("user %s: answer %d: %s", user, a.status, a.body)
		}
	}
	if a := b.upload(t, orderID); a.text("code") != strconv.Itoa(sandbox.CodeBadSignature) {
		t.Errorf("signed by another rule: %s", a.body)
	}
}

func TestKnowsNobodyWithoutCredentials(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Credentials: []pandapon.Credentials{}})
	if a := b.upload(t, orderID); a.status != http.StatusUnauthorized {
		t.Errorf("answer %d: %s", a.status, a.body)
	}
}
