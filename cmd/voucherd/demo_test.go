package main_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/test/redistest"
)

func TestTheDemoNeedsNothingAndEndsWell(t *testing.T) {
	t.Parallel()
	o := start(t.Context(), strings.NewReader(""), nil, "demo", "--once")
	want(t, o, 0, "UPLOAD", "REQUEST ID", "the breaker opens (outage)", "the breaker closes", "it may have arrived",
		"of 6 vouchers 6 were delivered, byte for byte")
	rows := regexp.MustCompile(`(?m)^demo-[a-z2-7]{26} +\d{19} +\d+ +delivered +[0-9a-f]{32}$`).FindAllString(o.stdout, -1)
	if len(rows) != 6 {
		t.Errorf("the report has %d rows:\n%s", len(rows), o.stdout)
	}
}

func TestTheDemoTakesOnesOwnVoucherAndRedis(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	o := b.must(0, "demo", "--once", "--redis", redistest.URL(), "--voucher", file, "--order", order)
	b.want(o, 0, order, "of 6 vouchers 6 were delivered")
	b.want(b.run("show", order), 0, "delivered")
	b.want(b.run("demo", "--redis", "redis://127.0.0.1:1"), 1, "127.0.0.1:1 could not be reached", "--redis")
}

func TestTheDemoGoesOnUntilStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lockedBuffer{}
	code := make(chan int, 1)
	go func() { code <- runTo(ctx, out, "demo") }()
	eventually(t, "one is delivered", func() bool { return strings.Contains(out.String(), "delivered, requestId") })
	cancel()
	if c := <-code; c != 0 || !strings.Contains(out.String(), "What was seen") {
		t.Errorf("ended with %d:\n%s", c, out)
	}
}
