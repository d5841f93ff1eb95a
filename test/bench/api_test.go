package main

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestTake(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 48 << 10, 48<<10 + 1, 300_001} {
		body := uploadPrefix + base64.StdEncoding.EncodeToString(voucher(max(n, 20))[:n]) + uploadMiddle + orderID(7) + uploadEnd
		if order, err := take(iotest.HalfReader(strings.NewReader(body)), int64(len(body))); err != nil || order != 7 {
			t.Errorf("%d bytes: order %d, %v", n, order, err)
		}
	}
}

func TestTakeRefuses(t *testing.T) {
	t.Parallel()
	end := uploadMiddle + orderID(7) + uploadEnd
	for name, body := range map[string]string{
		"empty": "", "another field first": `{"orderId":"1","base64":"AAAA"}`, "cut off": uploadPrefix + "AAAA",
		"not base64": uploadPrefix + "A*AA" + end, "another end": uploadPrefix + "AAAA" + strings.Repeat("x", len(end)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := take(strings.NewReader(body), int64(len(body))); !errors.Is(err, errBody) {
				t.Errorf("got %v, want it refused", err)
			}
		})
	}
}
