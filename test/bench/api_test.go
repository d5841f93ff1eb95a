package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDecodeUpload(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 48 << 10, 48<<10 + 1, 300_001} {
		body := uploadPrefix + base64.StdEncoding.EncodeToString(voucher(max(n, 20))[:n]) + `","orderId":"1"}`
		read := 0
		pace := func() error { read++; return nil }
		if err := decodeUpload(iotest.HalfReader(strings.NewReader(body)), new(apiBuffers), pace); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if n > 64<<10 && read == 0 {
			t.Errorf("%d bytes: the pace was never asked for", n)
		}
	}
}

func TestDecodeUploadRefuses(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty": "", "another field first": `{"orderId":"1","base64":"AAAA"}`, "cut off": uploadPrefix + "AAAA",
		"not base64": uploadPrefix + `A*AA"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := decodeUpload(bytes.NewBufferString(body), new(apiBuffers), func() error { return nil })
			if !errors.Is(err, errBody) {
				t.Errorf("got %v, want it refused", err)
			}
		})
	}
}
