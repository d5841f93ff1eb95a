package gateway_test

import (
	"strings"
	"testing"

	"github.com/voucherd/voucherd/gateway"
)

func TestStoredTokensReadBack(t *testing.T) {
	t.Parallel()
	text, a, err := gateway.NewToken(gateway.Producer, "shop-1")
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := gateway.NewToken(gateway.Operator, "ops")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.String(), strings.TrimPrefix(text, "voucherd_")) {
		t.Fatal("the line holds the token")
	}
	got, err := gateway.ParseTokens("# all\n\n" + a.String() + " # the shop's\r\n" + b.String() + "," + a.String() + "\n")
	if err != nil || len(got) != 3 || got[0] != a || got[1] != b || got[2] != a {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestBadTokenLines(t *testing.T) {
	t.Parallel()
	text, good, err := gateway.NewToken(gateway.Operator, "ops")
	if err != nil {
		t.Fatal(err)
	}
	sum := good.String()[len("operator:ops:"):]
	for name, line := range map[string]string{
		"a token itself": text, "unknown role": "admin:ops:" + sum, "short hash": good.String()[:40], "no name": "operator::" + sum,
		"odd name": "operator:o/ps:" + sum, "not hex": "operator:ops:" + strings.Repeat("z", 64), "words": "hello",
	} {
		_, err := gateway.ParseTokens(good.String() + "\n" + line)
		if err == nil || !strings.Contains(err.Error(), "entry 2") {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), strings.TrimPrefix(text, "voucherd_")) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
	for _, name := range []string{"", "a:b", "a b", strings.Repeat("x", 65)} {
		if _, _, err := gateway.NewToken(gateway.Producer, name); err == nil {
			t.Errorf("made a token named %q", name)
		}
	}
	if _, _, err := gateway.NewToken("admin", "x"); err == nil {
		t.Error("made a token of an unknown role")
	}
}
